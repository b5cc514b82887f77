"""Reading a clip in a worker process; imports nothing of the network, so that workers start fast and stay small."""

import time
from typing import NamedTuple

from v2s_jax.media.clip import Clip, load_clip
from v2s_jax.synthesis.jobs import Job


class Read(NamedTuple):
    """A clip ready to be spoken, and the seconds that reading it took."""

    clip: Clip
    seconds: float


def read(job: Job, face: int | None) -> Read:
    """Loads a job's clip without its sound, which synthesis must not hear.

    Raises:
        BadClip: it cannot be used.
    """
    start = time.perf_counter()
    clip = load_clip(job.source, face=face, audio=False)
    return Read(clip, time.perf_counter() - start)
