"""From what the user named to a list of clips, each with the place of its output."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from v2s_jax.data.corpus import video_files
from v2s_jax.errors import V2SError


@dataclasses.dataclass(frozen=True)
class Job:
    """A clip to speak.

    Attributes:
        source: the clip.
        name: its output's path below the output folder, without suffix.
    """

    source: Path
    name: str


def find_jobs(inputs: Sequence[Path], out: Path) -> list[Job]:
    """Every clip named or found below a named folder, once, in order.

    Clips of a folder keep their path below it. Nothing below `out` is taken unless `out` or something in it was named.

    Raises:
        V2SError: a folder without clips, two clips with one output, or an output that would replace a clip.
    """
    sources: dict[Path, Job] = {}
    for given in inputs:
        for job in _jobs_of(given, out):
            sources.setdefault(job.source.resolve(), job)
    owners: dict[str, Path] = {}
    for source, job in sources.items():
        if job.name in owners:
            raise V2SError(
                f"{owners[job.name]} and {job.source} would both be written to {out / job.name}.wav; "
                "rename one, or give them in two runs with different --out"
            )
        owners[job.name] = job.source
        target = output_paths(out, job.name)[1].resolve()
        if target in sources:
            raise V2SError(f"{source}: its output {target} would replace a clip that is to be read; name another --out")
    return list(sources.values())


def output_paths(out: Path, name: str) -> tuple[Path, Path]:
    """The wav and the mp4 of an output's name."""
    return out / f"{name}.wav", out / f"{name}.mp4"


def _jobs_of(given: Path, out: Path) -> list[Job]:
    if not given.is_dir():
        return [Job(given, given.stem)]
    clips = video_files(given)
    if out.resolve() != given.resolve() and out.resolve().is_relative_to(given.resolve()):
        clips = [clip for clip in clips if not clip.resolve().is_relative_to(out.resolve())]
    if not clips:
        raise V2SError(f"{given}: no video file in this folder or below it; expected clips such as mp4, mkv or mpg")
    return [Job(clip, clip.relative_to(given).with_suffix("").as_posix()) for clip in clips]
