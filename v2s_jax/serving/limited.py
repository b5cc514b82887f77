"""One call in a process of its own with bounds on time, memory and file size: what strangers' files are decoded in."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from v2s_jax.errors import BadClip, V2SError

MEMORY = 4 << 30  # bytes of address space
FILE_SIZE = 2 << 30  # bytes of any file written
_POLL = 0.1  # seconds


class Gone(Exception):
    """Nobody waits for the result any more."""


def run_limited(function: Callable, arguments: tuple, seconds: float | int, gone: threading.Event) -> Any:
    """What a function gives, from a process that is killed when it takes too long or too much.

    Args:
        function: picklable, of a module that imports little.
        arguments: picklable.
        seconds: that it may take; twice that of a processor's, since decoders have threads.
        gone: once it is set the process is killed.

    Raises:
        BadClip: what the function raised of that kind, or the file took too long, too much memory, or a crash.
        V2SError: likewise.
        RuntimeError: the function raised something else; the traceback is in it.
        Gone: `gone` was set.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    code = pickle.dumps((function, arguments))  # opened once the environment is set, which importing numpy reads
    process = context.Process(target=_answer, args=(theirs, code, seconds), daemon=True)
    process.start()
    theirs.close()
    try:
        kind, value = _received(ours, time.monotonic() + seconds, seconds, gone)
    except EOFError:
        process.join()
        code_ = process.exitcode or 0
        cause = signal.Signals(-code_).name if code_ < 0 else f"exit status {code_}"
        raise BadClip(f"the file crashed the process that read it ({cause}); save or record it again") from None
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()
    if kind == "done":
        return value
    raise {"bad clip": BadClip, "mistake": V2SError}.get(kind, RuntimeError)(value)


def _received(ours: Connection, deadline: float, seconds: float | int, gone: threading.Event) -> tuple[str, Any]:
    while not ours.poll(_POLL):
        if gone.is_set():
            raise Gone
        if time.monotonic() > deadline:
            raise BadClip(f"the file took longer than {seconds:.0f} s to read and was given up; send a shorter one")
    return ours.recv()


def _answer(theirs: Connection, code: bytes, seconds: float | int) -> None:
    """The process's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        function, arguments = pickle.loads(code)
        _limit(seconds)
        answer = "done", function(*arguments)
    except BadClip as error:
        answer = "bad clip", str(error)
    except V2SError as error:
        answer = "mistake", str(error)
    except MemoryError:
        answer = "bad clip", f"the file takes more than {MEMORY >> 30} GB of memory to read; send a smaller one"
    except Exception:
        answer = "surprise", traceback.format_exc()
    with contextlib.suppress(BrokenPipeError):
        theirs.send(answer)


def _limit(seconds: float | int) -> None:
    if sys.platform == "win32":
        return
    import resource

    cpu = int(2 * seconds) + 1
    bounds = {"RLIMIT_AS": MEMORY, "RLIMIT_CPU": cpu, "RLIMIT_FSIZE": FILE_SIZE, "RLIMIT_CORE": 0}
    for name, bound in bounds.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY or bound < hard:
            with contextlib.suppress(OSError, ValueError):  # macOS has no bound on the address space
                resource.setrlimit(kind, (bound, bound))
