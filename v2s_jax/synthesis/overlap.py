"""Stages of work side by side, each in its thread, with a short queue before each; and how long each waited.

The caller's thread is the source, so that a signal finds it there: whatever stops it, the stages finish what they have
in hand and no more.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

_POLL = 0.1  # seconds between looks at whether the work was given up
_END = object()


class Stage(NamedTuple):
    """One step of the work.

    Attributes:
        name: in reports.
        work: turns things as they come into others, in any order and number.
        threads: that do this side by side.
        room: things that may wait for it.
    """

    name: str
    work: Callable[[Iterator[Any]], Iterable[Any]]
    threads: int = 1
    room: int = 2


class _GivenUp(Exception):
    """Nobody wants the rest any more."""


class Overlap:
    """Stages that are at work while the block lasts; its end waits for them, an error in it gives the rest up.

    Args:
        stages: in order; what the last gives is dropped.

    Attributes:
        waits: by name the share of the time since the beginning that a stage spent waiting, for input or for room.
    """

    def __init__(self, stages: list[Stage]):
        self.waits: dict[str, float] = {}
        self._stages = stages
        self._queues: list[queue.Queue] = [queue.Queue(stage.room) for stage in stages]
        self._given_up = threading.Event()
        self._error: BaseException | None = None
        self._alive = [stage.threads for stage in stages]
        self._waited = dict.fromkeys((stage.name for stage in stages), 0.0)
        self._lock, self._start = threading.Lock(), time.perf_counter()
        self._threads = [
            threading.Thread(target=self._run, args=(index,), name=f"{stage.name}-{number}")
            for index, stage in enumerate(stages)
            for number in range(stage.threads)
        ]

    def __enter__(self) -> "Overlap":
        for thread in self._threads:
            thread.start()
        return self

    def put(self, thing: Any) -> None:
        """Hands the first stage something to do, when it has room.

        Raises:
            Exception: what a stage could not cope with.
        """
        try:
            self._put(0, thing)
        except _GivenUp:
            raise self._error or _GivenUp() from None

    def __exit__(self, kind: type | None, *_rest: object) -> None:
        try:
            if kind is None:
                for _thread in range(self._stages[0].threads):
                    self.put(_END)
                self._join()
        finally:
            self._given_up.set()
            self._join()
        spent = time.perf_counter() - self._start
        for stage in self._stages:
            self.waits[stage.name] = self._waited[stage.name] / stage.threads / spent
        if kind is None and self._error is not None:
            raise self._error

    def _join(self) -> None:
        for thread in self._threads:
            while thread.is_alive():  # in short turns, so that signals are heard on every system
                thread.join(_POLL)

    def _run(self, index: int) -> None:
        name = self._stages[index].name
        last = index + 1 == len(self._stages)
        try:
            for result in self._stages[index].work(self._taken(index)):
                if not last:
                    self._put(index + 1, result, name)
            with self._lock:
                self._alive[index] -= 1
                closing = not self._alive[index] and not last
            for _ in range(self._stages[index + 1].threads if closing else 0):
                self._put(index + 1, _END, name)
        except _GivenUp:
            pass
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            self._given_up.set()

    def _taken(self, index: int) -> Iterator[Any]:
        while (
            thing := self._waiting(lambda: self._queues[index].get(timeout=_POLL), self._stages[index].name)
        ) is not _END:
            yield thing

    def _put(self, index: int, thing: Any, name: str | None = None) -> None:
        self._waiting(lambda: self._queues[index].put(thing, timeout=_POLL), name)

    def _waiting(self, attempt: Callable[[], Any], name: str | None) -> Any:
        """Waits for a queue, and counts the time to the stage of that name."""
        start = time.perf_counter()
        try:
            while not self._given_up.is_set():
                try:
                    return attempt()
                except (queue.Empty, queue.Full):
                    continue
            raise _GivenUp
        finally:
            if name is not None:
                with self._lock:
                    self._waited[name] += time.perf_counter() - start
