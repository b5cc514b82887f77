"""Reading a clip or record in a worker; imports nothing of the network, so that workers start fast and stay small."""

import functools
import time
from pathlib import Path
from typing import NamedTuple

from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.media.clip import Clip, load_clip
from v2s_jax.synthesis.jobs import Job


class Read(NamedTuple):
    """A clip or record ready to be spoken, and the seconds that reading it took."""

    clip: Clip | Record
    seconds: float


def read(job: Job, face: int | None, fields: frozenset[str]) -> Read:
    """Loads a job's clip without its sound, which synthesis must not hear, or its record.

    Args:
        job: what to load.
        face: which face of a clip with several.
        fields: of a record that the model looks at.

    Raises:
        BadClip: it cannot be used.
        V2SError: the data set is damaged.
    """
    start = time.perf_counter()
    if job.split:
        found: Clip | Record = _opened(job.source, job.split).read(job.index, fields)
    else:
        found = load_clip(job.source, face=face, audio=False)
    return Read(found, time.perf_counter() - start)


@functools.cache
def _opened(folder: Path, split: str) -> ShardedDataset:
    return ShardedDataset(folder, split)
