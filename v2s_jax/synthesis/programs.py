"""Compiled programs by what they are for: each is compiled once, by whoever asks first, while others go on."""

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future


class Programs:
    """Compiled functions by key. Calls from several threads are safe; different keys are compiled side by side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Hashable, Future[Callable]] = {}

    def __len__(self) -> int:
        return len(self._made)

    @property
    def keys(self) -> set[Hashable]:
        """Of what was compiled so far, or is being compiled."""
        with self._lock:
            return set(self._made)

    def get(self, key: Hashable, compile: Callable[[], Callable]) -> tuple[Callable, float]:
        """The program of a key, compiled if it is new, and the seconds spent on that or on waiting for it."""
        start = time.perf_counter()
        with self._lock:
            found = self._made.get(key)
            mine = found is None
            found = self._made.setdefault(key, Future())
        if mine:
            try:
                found.set_result(compile())
            except BaseException as error:
                with self._lock:
                    del self._made[key]  # another call may fare better
                found.set_exception(error)
                raise
        return found.result(), time.perf_counter() - start
