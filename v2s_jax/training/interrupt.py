"""SIGTERM and SIGINT as a flag that the loop looks at between steps."""

import os
import signal
import threading
from types import FrameType


class Interrupt:
    """While entered, the first SIGTERM or SIGINT sets `signal`; a second SIGINT ends the program at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        # os.write and not print: the handler may run in the middle of another print.
        os.write(2, f"\n{self.signal.name}: finishing this step, then saving.\n".encode())
