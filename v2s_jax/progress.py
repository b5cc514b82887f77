"""Progress of long work: a bar on a terminal, a line now and then otherwise; rate and time left in both."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


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
