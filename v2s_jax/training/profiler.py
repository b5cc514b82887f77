"""A profile of some steps of a run, for TensorBoard's profile page or xprof."""

from collections.abc import Callable
from pathlib import Path

import jax


class Profiler:
    """Begins before one step and ends before another.

    Args:
        steps: the two; (0, 0) for no profile.
        folder: it goes to.
        say: is told where it is, or why there is none.
    """

    def __init__(self, steps: tuple[int, int], folder: Path, say: Callable[[str], None]):
        (self._first, self._last), self._folder, self._say = steps, folder, say
        self._running = False

    def before(self, step: int, results: jax.Array) -> None:
        """Begins or ends if it is time to.

        Args:
            step: about to be made.
            results: of the step before, which the profile's end waits for.
        """
        if self._first < self._last and step == self._first:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        elif self._running and step == self._last:
            jax.block_until_ready(results)
            self.close()

    def close(self) -> None:
        """Ends it, if it has begun: also where the run ends, or goes back, before its last step."""
        if not self._running:
            return
        self._running = False
        try:
            jax.profiler.stop_trace()
        except (OSError, RuntimeError) as error:  # as of a full disk
            self._say(f"No profile could be written to {self._folder}: {' '.join(str(error).split())[:300]}.")
            return
        self._say(f"Profile of steps {self._first} to {self._last} in {self._folder}.")
