"""Reading a clip or record in a worker; imports nothing of the network, so that workers start fast and stay small."""

import dataclasses
import functools
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import BadClip
from v2s_jax.media.clip import Clip, load_clip
from v2s_jax.media.limits import Limits
from v2s_jax.media.video import probe
from v2s_jax.progress import Along
from v2s_jax.synthesis import scratch
from v2s_jax.synthesis.jobs import Job

LIMITS = Limits(max_seconds=4 * 3600)  # crops of long clips are kept in files
_HOUR = 3600.0  # seconds


class Packed(NamedTuple):
    """A clip whose crops are in files, as it goes from a worker to the network's process.

    Attributes:
        fields: of the clip, the rest of them.
        files: those in files.
    """

    fields: dict[str, Any]
    files: dict[str, Path]

    def unpacked(self) -> Clip:
        """The clip, its files without names from now on."""
        crops: dict[str, Any] = {name: scratch.adopt(path) for name, path in self.files.items()}
        return Clip(**self.fields, **crops)


class Read(NamedTuple):
    """A clip or record ready to be spoken, and the seconds that reading it took."""

    clip: Clip | Record | Packed
    seconds: float


def read(job: Job, face: int | None, fields: frozenset[str], spool: Path | None = None) -> Read:
    """Loads a job's clip, without its sound unless the model listens to it, or its record.

    Args:
        job: what to load.
        face: which face of a clip with several.
        fields: that the model looks at.
        spool: a folder for the crops of a long clip; without one they are in memory.

    Raises:
        BadClip: it cannot be used.
        V2SError: the data set is damaged.
    """
    start = time.perf_counter()
    found: Clip | Record | Packed
    if job.split:
        found = _opened(job.source, job.split).read(job.index, fields)
    elif spool is None:
        found = load_clip(job.source, face=face, audio="audio" in fields)
    else:
        found = _packed(job, face, spool, "audio" in fields)
    return Read(found, time.perf_counter() - start)


def _packed(job: Job, face: int | None, spool: Path, audio: bool) -> Clip | Packed:
    files: dict[str, Path] = {}

    def room(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        if shape[0] * shape[1] * shape[2] <= scratch.LARGE:
            return None
        number, path = tempfile.mkstemp(dir=spool, suffix=".npy")
        os.close(number)
        files[name] = Path(path)
        return scratch.new_file(files[name], shape, dtype)

    along = Along(str(job.source))
    clip = load_clip(job.source, face=face, audio=audio, limits=LIMITS, room=room, watch=along)
    if not files:
        return clip
    fields = {field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)}
    return Packed({name: value for name, value in fields.items() if name not in files}, files)


def patience(job: Job) -> float:
    """Seconds after which reading a job is given up: an hour, or four times its length where that is longer."""
    if job.split:
        return _HOUR
    try:
        return max(_HOUR, 4 * probe(job.source, LIMITS).duration)
    except BadClip:  # which the worker finds as well, and says
        return _HOUR


@functools.cache
def _opened(folder: Path, split: str) -> ShardedDataset:
    return ShardedDataset(folder, split)
