"""Ends a process of several that waits for the others without end, since no exception ever comes out of a hang."""

import faulthandler
import os
import threading
import time

STATUS = 75  # EX_TEMPFAIL: starting again may help


class Watchdog:
    """While entered, ends the process when `beat` was not called for a while, saying what each thread was doing.

    Args:
        seconds: the while; 0 watches nothing.
    """

    def __init__(self, seconds: float | int):
        self._seconds, self._last, self._done = seconds, time.monotonic(), threading.Event()

    def __enter__(self) -> "Watchdog":
        if self._seconds:
            threading.Thread(target=self._watch, daemon=True, name="watchdog").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def beat(self) -> None:
        """Says that something has moved."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while not self._done.wait(min(self._seconds / 4, 10)):
            if time.monotonic() - self._last > self._seconds:
                faulthandler.dump_traceback()
                sentence = f"No step for {self._seconds:g} s: a process hangs, so this one ends (train.stalled_after)."
                os.write(2, f"{sentence} The same command goes on from the newest checkpoint.\n".encode())
                os._exit(STATUS)
