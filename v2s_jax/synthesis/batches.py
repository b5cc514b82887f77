"""Clips cut to windows, the windows computed in batches of one length, the outputs joined to clips, as they come.

This is what the network and the vocoder have in common. A window's output does not depend on the batch it is in, so
neither does the order in which clips come matter.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from v2s_jax.synthesis import scratch
from v2s_jax.synthesis.windows import CrossFade, Window

K = TypeVar("K")
T = TypeVar("T")
_WAITING = 4  # batches' worth of windows that may wait for others of their length


class Buckets(Generic[T]):
    """Things that wait for others of their rung.

    Args:
        rungs: lengths, ascending.
        rows: of a batch.
    """

    def __init__(self, rungs: Sequence[int], rows: int):
        self.rungs, self.rows = rungs, rows
        self._waiting: dict[int, list[T]] = {}

    def add(self, length: int, thing: T) -> Iterator[tuple[int, list[T]]]:
        """Takes one; gives the rung and the things of a batch that is full, or the fullest one when too many wait."""
        # Beyond the last rung a thing has a length of its own.
        rung = next((rung for rung in self.rungs if rung >= length), length)
        group = self._waiting.setdefault(rung, [])
        group.append(thing)
        if len(group) == self.rows:
            yield rung, self._waiting.pop(rung)
        elif sum(map(len, self._waiting.values())) >= _WAITING * self.rows:
            rung = max(self._waiting, key=lambda rung: len(self._waiting[rung]))
            yield rung, self._waiting.pop(rung)

    def flush(self) -> Iterator[tuple[int, list[T]]]:
        """All that still wait."""
        while self._waiting:
            yield self._waiting.popitem()


class Joined:
    """The outputs of a clip's windows, whatever their order, as one array.

    Args:
        windows: of the clip.
        rate: rows to a frame.
    """

    def __init__(self, windows: list[Window], rate: int):
        self._fade, self._total = CrossFade(windows, rate), rate * windows[-1].keep_stop
        self._early: dict[int, np.ndarray] = {}
        self._next = self._filled = 0
        self.rows: np.ndarray = np.zeros(0, np.float32)

    def add(self, index: int, output: np.ndarray) -> None:
        """Takes the output of one window."""
        self._early[index] = output
        while self._next in self._early:
            for piece in self._fade.add(self._turned(self._next, self._early.pop(self._next))):
                self._put(piece)
            self._next += 1

    def _turned(self, index: int, output: np.ndarray) -> np.ndarray:
        """The output of a window, changed to fit the one before."""
        return output

    def _put(self, piece: np.ndarray) -> None:
        if not self._filled:
            self.rows = scratch.empty((self._total, *piece.shape[1:]), piece.dtype)
        self.rows[self._filled : self._filled + len(piece)] = piece
        self._filled += len(piece)


@runtime_checkable
class Whole(Protocol):
    """A clip that is computed by windows."""

    windows: list[Window]

    def part(self, window: Window) -> Any:
        """What is computed of a window."""
        ...

    def add(self, index: int, output: Any) -> None:
        """Takes what was computed of a window."""
        ...

    def result(self) -> Any:
        """What all of them make together."""
        ...


@dataclasses.dataclass
class _Ticket:
    key: Any
    whole: Whole
    left: int
    failed: bool = False


_Piece = tuple[_Ticket, int, Any]  # ticket, number of the window, part


def assembled(
    items: Iterable[tuple[K, Whole | Exception]],
    rungs: Sequence[int],
    rows: int,
    compute: Callable[[list[Any], int], Sequence[Any]],
) -> Iterator[tuple[K, Any]]:
    """The result of each clip with its key, or what went wrong with it, which costs that clip alone.

    Args:
        items: clips with their keys; an exception in place of a clip is handed on.
        rungs: lengths of batches, ascending.
        rows: of a batch.
        compute: of at most `rows` parts and the rung's length gives their outputs.
    """
    buckets: Buckets[_Piece] = Buckets(rungs, rows)
    for key, whole in items:
        if isinstance(whole, Exception):
            yield key, whole
            continue
        ticket = _Ticket(key, whole, len(whole.windows))
        for index, window in enumerate(whole.windows):
            piece = ticket, index, whole.part(window)
            for rung, batch in buckets.add(window.stop - window.start, piece):
                yield from _computed(batch, rung, compute)
    for rung, batch in buckets.flush():
        yield from _computed(batch, rung, compute)


def _computed(batch: list[_Piece], rung: int, compute: Callable) -> Iterator[tuple[Any, Any]]:
    batch = [piece for piece in batch if not piece[0].failed]
    if not batch:
        return
    try:
        outputs = compute([part for _, _, part in batch], rung)
    except Exception as error:
        if len(batch) > 1:  # whose fault is it?
            for piece in batch:
                yield from _computed([piece], rung, compute)
        else:
            batch[0][0].failed = True
            yield batch[0][0].key, error
        return
    for (ticket, index, _), output in zip(batch, outputs, strict=True):
        if ticket.failed:
            continue
        try:
            ticket.whole.add(index, output)
            ticket.left -= 1
            done = None if ticket.left else ticket.whole.result()
        except Exception as error:
            ticket.failed, done = True, error
        if done is not None:
            yield ticket.key, done


def tried(function: Callable[[Any], Any], thing: Any) -> Any:
    """What a function makes of a thing, or the exception; exceptions are handed on."""
    if isinstance(thing, Exception):
        return thing
    try:
        return function(thing)
    except Exception as error:
        return error


def in_order(found: Iterable[tuple[int, Any]], count: int) -> list[Any]:
    """Results by number.

    Raises:
        Exception: the first of those that are one.
    """
    results = dict(found)
    for index in range(count):
        if isinstance(results[index], Exception):
            raise results[index]
    return [results[index] for index in range(count)]
