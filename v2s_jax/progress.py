"""Progress of long work: a bar on a terminal, a line now and then otherwise; rate and time left in both."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

from v2s_jax.constants import VIDEO_FPS

T = TypeVar("T")
Watch = Callable[[str, int, int], None]  # told what is being done, the frames done and all there are
_LONG = 3000  # frames: two minutes


def progress(items: Iterable[T], total: int | None = None, unit: str = "clips", every: float = 10.0) -> Iterator[T]:
    """Yields `items` unchanged while reporting on stderr.

    Args:
        items: what is worked through.
        total: how many there are, where it is known.
        unit: what an item is called.
        every: seconds between lines when stderr is no terminal.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, unit=f" {unit}", file=sys.stderr)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= every or done == total:
            last = now
            print(progress_line(done, total, now - start, unit), file=sys.stderr, flush=True)


def progress_line(done: int, total: int | None, seconds: float, unit: str) -> str:
    """One line such as `12/40 clips, 3.1 clips/s, 9 s left`."""
    rate = done / max(seconds, 1e-9)
    count = f"{done}/{total} {unit}" if total else f"{done} {unit}"
    left = f", {(total - done) / rate:.0f} s left" if total and done < total else ""
    return f"{count}, {rate:.3g} {unit}/s{left}"


class Along:
    """Says on stderr now and then how far one long recording is; of a short one nothing.

    Args:
        name: of the recording.
        every: seconds between lines.
    """

    def __init__(self, name: str, every: float = 10.0):
        self._name, self._every, self._said = name, every, time.monotonic()

    def __call__(self, doing: str, frame: int, frames: int) -> None:
        """Says that `frame` of so many `frames` is reached, if it is time."""
        now = time.monotonic()
        if frames <= _LONG or now < self._said + self._every:
            return
        self._said = now
        place, end = (round(count / VIDEO_FPS) for count in (frame, frames))
        print(f"{self._name}: {doing}, at {place} of {end} s", file=sys.stderr, flush=True)


def watched(items: Iterable[T], watch: Watch | None, doing: str, total: int) -> Iterator[T]:
    """Yields a recording's frames unchanged while telling `watch`, if there is one."""
    for index, item in enumerate(items):
        if watch is not None:
            watch(doing, index, total)
        yield item
