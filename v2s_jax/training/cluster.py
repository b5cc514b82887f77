"""The processes of one run: how they find each other, and how they make sure that they do the same.

jax finds the others by itself under Slurm, GKE and JobSet, on Cloud TPU and under Open MPI; elsewhere they are told.
Everything here is for a handful of exchanges at the start and the end of a run: steps talk by their own collectives.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import os
import socket
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

import v2s_jax
from v2s_jax.errors import V2SError
from v2s_jax.training.differences import differences

T = TypeVar("T")
# What errors of collectives and of jax's coordination service say when a process is gone.
LOST = (
    "Gloo",
    "gloo",
    "onnection closed",
    "onnection reset",
    "DEADLINE_EXCEEDED",
    "UNAVAILABLE",
    "oordination service",
)


def connect(args: argparse.Namespace) -> None:
    """Joins the other processes, if there are any; before anything else that touches devices.

    Args:
        args: of `command.add_arguments`.

    Raises:
        V2SError: the options do not say who the others are, or no cluster was found, or the others were not.
    """
    given = (args.coordinator, args.processes, args.process)
    if args.distributed == "off" and given == (None, None, None):
        return
    if args.distributed == "off" and (None in given or not 0 <= args.process < args.processes):
        raise V2SError(
            "--coordinator, --processes and --process go together: give all three, --process from 0 to one less than "
            "--processes; or --distributed=auto"
        )
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # processes that share CPUs; of no effect elsewhere
    try:
        jax.distributed.initialize(
            *given,
            cluster_detection_method=None if args.distributed == "auto" else "deactivate",
            initialization_timeout=3 * args.peer_timeout,
            heartbeat_timeout_seconds=args.peer_timeout,
            shutdown_timeout_seconds=args.peer_timeout,
        )
    except ValueError as error:
        raise V2SError(
            f"no cluster to train on ({error}) --distributed=auto knows Slurm, GKE and JobSet, Cloud TPU and Open MPI; "
            "elsewhere give --coordinator, --processes and --process"
        ) from error
    except RuntimeError as error:
        raise V2SError(f"the other processes were not found: {' '.join(str(error).split())[:300]}") from error


def exchange(text: str) -> list[str]:
    """What every process says, by process.

    Args:
        text: of this process; where all say the same, only its hash travels.
    """
    if jax.process_count() == 1:
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    head = np.frombuffer(len(data).to_bytes(8, "big") + hashlib.sha256(text.encode()).digest(), np.uint8)
    heads = multihost_utils.process_allgather(head)
    if (heads == head).all():
        return [text] * len(heads)
    sizes = [int.from_bytes(bytes(one[:8]), "big") for one in heads]
    everything = multihost_utils.process_allgather(np.pad(data, (0, max(sizes) - len(data))))
    return [bytes(one[:size]).decode() for one, size in zip(everything, sizes, strict=True)]


def together(make: Callable[[], T]) -> T:
    """The result of something that every process does and that may fail on some of them alone.

    Raises:
        V2SError: it failed on another process.
    """
    try:
        result, failure = make(), None
    except Exception as error:
        result, failure = None, error
    said = exchange("" if failure is None else f"on {socket.gethostname()}: {failure}")
    if failure is not None:
        raise failure
    for process, sentence in enumerate(said):
        if sentence:
            raise V2SError(f"process {process} {sentence}")
    return result  # type: ignore[return-value]


def agree(facts: dict[str, Any]) -> None:
    """Makes sure that all processes hold the same facts.

    Args:
        facts: values of JSON.

    Raises:
        V2SError: on all of them, naming the process that differs from process 0, and in what.
    """
    said = [json.loads(text) for text in exchange(json.dumps(facts, sort_keys=True))]
    other = next((process for process, held in enumerate(said) if held != said[0]), None)
    if other is None:
        return
    hosts = exchange(socket.gethostname())
    lines = [line for name in said[0] for line in differences(said[0][name], said[other].get(name), name)]
    raise V2SError(
        f"process {other} on {hosts[other]} differs from process 0 on {hosts[0]} ({'; '.join(lines[:5])}): start all "
        "processes with the same config, program and data"
    )


@functools.cache
def program() -> dict[str, str]:
    """What computes: versions, and a hash of this package's own files."""
    digest, folder = hashlib.sha256(), Path(v2s_jax.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return {"v2s_jax": f"{v2s_jax.__version__} {digest.hexdigest()[:12]}", "jax": jax.__version__}


def check_shared(workdir: str | os.PathLike) -> None:
    """Makes sure that all processes see the same folder.

    Raises:
        V2SError: one does not.
    """
    if jax.process_count() == 1:
        return
    probe = Path(workdir) / exchange(f".shared.{uuid.uuid4().hex}")[0]
    if jax.process_index() == 0:
        probe.touch()
    exchange("")

    def look() -> None:
        if probe.name not in os.listdir(workdir):
            raise V2SError(
                f"{workdir} is not the folder of that name that process 0 writes to: take one that all processes share"
            )

    try:
        together(look)
    finally:
        if jax.process_index() == 0:
            probe.unlink()


def rows_here(sharding: NamedSharding, rows: int) -> list[int]:
    """Which rows of a global batch lie on this process's devices, ascending.

    They need not be neighbours: on a TPU the mesh follows the wires and not the hosts.

    Args:
        sharding: of the batch.
        rows: of the whole batch.
    """
    indices = sharding.addressable_devices_indices_map((rows,)).values()
    return rows_at([index[0] for index in indices if index is not None], rows)


def rows_at(places: list[slice], rows: int) -> list[int]:
    """The rows, of so many, that slices cover, ascending and each once."""
    return sorted({row for place in places for row in range(*place.indices(rows))})


def whole(array: Any) -> np.ndarray:
    """An array that may be spread over processes, on this one; all call it alike."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.asarray(array)


@contextlib.contextmanager
def leaving_alone() -> Iterator[None]:
    """Ends one of several processes at once when it fails: to clean up, it would wait for the others, and they for it.

    If all fail alike, they end together; if not, the others find this one gone and end, too.
    """
    try:
        yield
    except BaseException as error:
        if jax.process_count() == 1:
            raise
        status = _say(error)
        threading.Timer(10, os._exit, (status,)).start()
        with contextlib.suppress(Exception):
            jax.distributed.shutdown()  # waits for those that end, too, and tells the rest
        os._exit(status)


def _say(error: BaseException) -> int:
    """Says on stderr why this process ends; returns its exit status."""
    text = " ".join(str(error).split())
    if isinstance(error, jax.errors.JaxRuntimeError) and any(word in text.lower() for word in LOST):
        sentence = f"another process of the run ended or does not answer, so this one ends, too: {text[:300]}"
    elif isinstance(error, V2SError):
        sentence = str(error)
    else:
        sentence = "".join(traceback.format_exception(error))
    print(f"v2s-jax train: process {jax.process_index()}: {sentence}", file=sys.stderr, flush=True)
    return 130 if isinstance(error, KeyboardInterrupt) else 1
