"""Batches onto the devices ahead of the step that needs them."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Runs an iterator in a thread, a few items ahead; its exceptions come out of `next`.

    Args:
        items: the source; used from the thread alone.
        transform: applied to each item in the thread.
        depth: items held ready.
    """

    def __init__(self, items: Iterator[Any], transform: Callable[[Any], T], depth: int = 2):
        self._queue: queue.Queue = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items, transform), daemon=True, name="prefetch")
        self._thread.start()

    def _work(self, items: Iterator[Any], transform: Callable[[Any], T]) -> None:
        try:
            for item in items:
                if not self._put((transform(item), None)):
                    return
            self._put((None, StopIteration()))
        except Exception as error:
            self._put((None, error))
        finally:
            if hasattr(items, "close"):  # a generator frees its workers here, in the thread that ran it
                items.close()

    def _put(self, entry: tuple) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> "Prefetch[T]":
        return self

    def __next__(self) -> T:
        item, error = self._queue.get()
        if error is not None:
            raise error
        return item

    def close(self) -> None:
        """Stops the thread and drops what it held."""
        self._stop.set()
        self._thread.join()
