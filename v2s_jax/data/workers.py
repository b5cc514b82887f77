"""A pool of processes that outlives its workers: a clip that crashes or hangs one costs that clip only.

`concurrent.futures` gives up as a whole when a worker dies, without saying on which item; here every worker holds one
item at a time, so the culprit is known, and a fresh worker takes the dead one's place. Workers are spawned, since JAX's
threads do not survive a fork.
"""

import dataclasses
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from multiprocessing.connection import Connection, wait
from typing import Any

from v2s_jax.errors import V2SError


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why an item has no result: one sentence, and the traceback where it was a surprise."""

    reason: str
    details: str = ""


@dataclasses.dataclass
class _Worker:
    process: Any
    pipe: Connection
    item: Any = None
    until: float = 0.0
    allowed: float = 0.0


def run_isolated(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    jobs: int,
    timeout: float | int | Callable[[Any], float] = 3600,
) -> Generator[tuple[Any, Any], None, None]:
    """Applies `function` to every item in `jobs` processes; yields (item, result or Failure) as they finish.

    Args:
        function: picklable; what it raises becomes a Failure.
        items: picklable.
        jobs: number of processes.
        timeout: seconds after which an item's worker is killed, or what gives them for an item.
    """
    pending = iter(items)
    context = multiprocessing.get_context("spawn")
    code = pickle.dumps(function)
    workers: list[_Worker] = []
    try:
        for item in pending:
            workers.append(_give(_start(context, code), item, timeout))
            if len(workers) == jobs:
                break
        while workers:
            for worker in _ready(workers):
                done, (outcome, alive) = worker.item, _collect(worker)
                workers.remove(worker)
                item = next(pending, None)
                if item is not None:
                    workers.append(_give(worker if alive else _start(context, code), item, timeout))
                elif alive:
                    worker.pipe.close()
                    worker.process.join()
                yield done, outcome
    finally:
        for worker in workers:
            _stop(worker)


def _start(context: Any, code: bytes) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, code), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _stop(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _give(worker: _Worker, item: Any, timeout: float | int | Callable[[Any], float]) -> _Worker:
    worker.item, worker.allowed = item, timeout(item) if callable(timeout) else timeout
    worker.until = time.monotonic() + worker.allowed
    try:
        worker.pipe.send(item)
    except BrokenPipeError:
        pass  # it died at once: `_collect` says so
    return worker


def _ready(workers: list[_Worker]) -> list[_Worker]:
    """Workers that answered, died or ran out of time; waits until there is one."""
    while True:
        first = min(worker.until for worker in workers)
        signals = wait([worker.pipe for worker in workers], max(0.0, first - time.monotonic()) + 0.01)
        now = time.monotonic()
        ready = [worker for worker in workers if worker.pipe in signals or worker.until < now]
        if ready:
            return ready


def _collect(worker: _Worker) -> tuple[Any, bool]:
    """The worker's result or a Failure, and whether the worker lives on."""
    if not worker.pipe.poll():
        _stop(worker)
        return Failure(f"took longer than {worker.allowed:.0f} s and was given up"), False
    try:
        return worker.pipe.recv(), True
    except (EOFError, ConnectionResetError):
        worker.process.join()
        worker.pipe.close()
        code = worker.process.exitcode
        cause = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return Failure(f"crashed the process that read it ({cause})"), False


def _serve(pipe: Connection, code: bytes) -> None:
    """A worker's life: answers items until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # one process a core already; set before numpy is imported
    os.environ["JAX_PLATFORMS"] = "cpu"  # an accelerator's memory is for one process, and that is not a worker
    function = None
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            function = function or pickle.loads(code)
            answer = function(item)
        except V2SError as error:
            answer = Failure(str(error))
        except Exception as error:
            answer = Failure(f"unexpected {type(error).__name__}: {error}", traceback.format_exc())
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return
