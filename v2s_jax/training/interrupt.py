"""SIGTERM and SIGINT as a flag that the loop looks at between steps, and that the processes of a run share."""

import os
import signal
import threading
from types import FrameType

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


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


class Verdict:
    """The signal that stops a run: with several processes, whichever of them it was sent to.

    All of them must stop at the same step, so each puts its own signal (0: none) on its devices after every step, and
    the largest is read after the next one, when it has long been computed: nobody waits, and all read the same.
    """

    def __init__(self, interrupt: Interrupt, mesh: Mesh):
        self._interrupt = interrupt
        self._found, self._before = 0, None
        self._shared = jax.process_count() > 1
        self._votes = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._count = sum(device.process_index == jax.process_index() for device in mesh.devices.flat)
        self._largest = jax.jit(lambda votes: votes.max(), out_shardings=NamedSharding(mesh, PartitionSpec()))

    @property
    def stop(self) -> signal.Signals | None:
        """The signal to stop by, if there is one."""
        if not self._shared:
            return self._interrupt.signal
        return signal.Signals(self._found) if self._found else None

    def after_step(self) -> None:
        """Votes, and counts the votes of the step before."""
        if not self._shared:
            return
        vote = np.full(self._count, self._interrupt.signal or 0, np.int32)
        now = self._largest(jax.make_array_from_process_local_data(self._votes, vote))
        before, self._before = self._before, now
        self._found = self._found or (0 if before is None else int(before))
