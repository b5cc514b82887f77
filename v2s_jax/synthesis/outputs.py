"""The files of a clip that was spoken, and its line in the manifest."""

import time
from pathlib import Path

import numpy as np

from v2s_jax.data.schema import Record
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.atomic import make_folder, replacing
from v2s_jax.media.audio import write_flac, write_wav
from v2s_jax.media.clip import Clip
from v2s_jax.media.mux import put_sound_back
from v2s_jax.progress import Along
from v2s_jax.synthesis.jobs import Job, Wanted, output_paths
from v2s_jax.synthesis.manifest import Entry
from v2s_jax.synthesis.reading import LIMITS
from v2s_jax.synthesis.speech import Speech, real_time_factor


def written(job: Job, speech: Speech | Exception, seen: Clip | Record | None, out: Path, wanted: Wanted) -> Entry:
    """Writes the files of one clip; what goes wrong with it alone becomes its entry.

    Args:
        job: the clip's or record's.
        speech: that was made of it, or what went wrong before.
        seen: what it was made from, if that could be read.
        out: the output folder.
        wanted: which files.

    Raises:
        V2SError: a file cannot be written, which would be so for the next clip too.
    """
    paths, start = output_paths(out, job, wanted), time.perf_counter()
    try:
        if isinstance(speech, Exception):
            raise speech
        make_folder(paths["sound"].parent)
        if "video" in paths:
            put_sound_back(job.source, speech.waveform, paths["video"], LIMITS, Along(str(job.source)))
        if "mel" in paths:
            _write_array(paths["mel"], speech.log_mel)
        if "units" in paths and speech.units is not None:
            _write_array(paths["units"], speech.units)
        (write_flac if wanted.sound == "flac" else write_wav)(paths["sound"], speech.waveform)
    except Exception as error:
        # Not even an older output may stay, since it would pass for this run's.
        for path in paths.values():
            path.unlink(missing_ok=True)
        if isinstance(error, V2SError) and not isinstance(error, BadClip):
            raise
        known = isinstance(error, BadClip)
        return {"status": "failed", "error": str(error) if known else _surprise(job, error)}
    names = {"wav" if kind == "sound" else kind: path.relative_to(out).as_posix() for kind, path in paths.items()}
    sizes = {kind: path.stat().st_size for kind, path in paths.items()}
    return _facts(speech, seen, speech.timings | {"write": time.perf_counter() - start}) | names | {"bytes": sizes}


def _write_array(path: Path, array: np.ndarray) -> None:
    with replacing(path) as file:
        np.save(file, array)


def _surprise(job: Job, error: Exception) -> str:
    return f"{job.source}: unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _facts(speech: Speech, seen: Clip | Record | None, timings: dict[str, float]) -> Entry:
    return {
        "status": "ok",
        "seconds": round(speech.seconds, 3),
        **(_sighting(seen) if seen is not None else {}),
        "warnings": [f"{seen.path}: {warning}" for warning in seen.warnings] if isinstance(seen, Clip) else [],
        "timings": {stage: round(seconds, 4) for stage, seconds in timings.items()},
        "real_time_factor": round(real_time_factor(timings, speech.seconds), 4),
    }


def _sighting(seen: Clip | Record) -> Entry:
    found = {"coverage": round(seen.coverage, 4), "confidence": round(seen.confidence, 4)}
    return found | ({"faces_seen": seen.n_faces} if isinstance(seen, Clip) else {})
