"""From what the user named to a list of clips and records, each with the place of its output."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from v2s_jax.data.corpus import video_files
from v2s_jax.data.metadata import METADATA_FILE, read_metadata
from v2s_jax.errors import V2SError

LIST_SUFFIX = ".txt"


@dataclasses.dataclass(frozen=True)
class Job:
    """Something to speak.

    Attributes:
        source: the clip, or the folder of a prepared data set.
        name: its output's path below the output folder, without suffix.
        split: of the data set; "" for a clip.
        index: of the record in its split.
    """

    source: Path
    name: str
    split: str = ""
    index: int = 0


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which files are made.

    Attributes:
        sound: their suffix, "wav" or "flac".
        video: an mp4 with the sound put back, of clips.
        mel: the log-mel, as numpy saves arrays.
        units: of the content, likewise.
    """

    sound: str = "wav"
    video: bool = True
    mel: bool = False
    units: bool = False


def output_paths(out: Path, job: Job, wanted: Wanted) -> dict[str, Path]:
    """The files of a job by kind: `sound`, and `video`, `mel` and `units` if they are made."""
    suffixes = {"sound": wanted.sound}
    suffixes |= {"video": "mp4"} if wanted.video and not job.split else {}
    suffixes |= {"mel": "npy"} if wanted.mel else {}
    suffixes |= {"units": "units.npy"} if wanted.units else {}
    return {kind: out / f"{job.name}.{suffix}" for kind, suffix in suffixes.items()}


def find_jobs(inputs: Sequence[Path], out: Path, wanted: Wanted | None = None, split: str | None = None) -> list[Job]:
    """Every clip named, listed or found below a named folder, and every record of named data sets, once, in order.

    Clips of a folder keep their path below it; records are `<split>/<id>`. Nothing below `out` is taken unless `out` or
    something in it was named.

    Args:
        inputs: clips, folders of clips, lists of these (a .txt, a path a line, relative to the list), or data sets.
        out: the output folder.
        wanted: which files are made; an mp4 at least may not replace a clip.
        split: of data sets; all of them if None.

    Raises:
        V2SError: a folder without clips, a list that cannot be read or names nothing, a data set without such a split,
            two clips with one output, or an output that would replace a clip.
    """
    sources: dict[tuple[Path, str, int], Job] = {}
    for given in inputs:
        for job in _jobs_of(given, out, split):
            sources.setdefault((job.source.resolve(), job.split, job.index), job)
    clips = {source for source, *_ in sources}
    owners: dict[str, Job] = {}
    for job in sources.values():
        paths = output_paths(out, job, wanted or Wanted())
        if job.name in owners:
            raise V2SError(
                f"{owners[job.name].source} and {job.source} would both be written to {paths['sound']}; "
                "rename one, or give them in two runs with different --out"
            )
        owners[job.name] = job
        for target in paths.values():
            if target.resolve() in clips:
                raise V2SError(
                    f"{job.source.resolve()}: its output {target.resolve()} would replace a clip that is to be read; "
                    "name another --out"
                )
    return list(sources.values())


def part_of(jobs: list[Job], part: tuple[int, int]) -> list[Job]:
    """The jobs of one of several processes, each of which takes every so manieth.

    Args:
        jobs: of all.
        part: number of the process, from 1, and how many there are.
    """
    number, count = part
    return jobs[number - 1 :: count]


def _jobs_of(given: Path, out: Path, split: str | None) -> list[Job]:
    if given.is_dir():
        return _records(given, split) if (given / METADATA_FILE).is_file() else _clips(given, out)
    if given.suffix.lower() == LIST_SUFFIX:
        return [job for path in _listed(given) for job in _jobs_of(path, out, split)]
    return [Job(given, given.stem)]


def _clips(folder: Path, out: Path) -> list[Job]:
    clips = video_files(folder)
    if out.resolve() != folder.resolve() and out.resolve().is_relative_to(folder.resolve()):
        clips = [clip for clip in clips if not clip.resolve().is_relative_to(out.resolve())]
    if not clips:
        raise V2SError(f"{folder}: no video file in this folder or below it; expected clips such as mp4, mkv or mpg")
    return [Job(clip, clip.relative_to(folder).with_suffix("").as_posix()) for clip in clips]


def _records(folder: Path, split: str | None) -> list[Job]:
    splits = read_metadata(folder).splits
    if split is not None and split not in splits:
        raise V2SError(f"{folder} has no split {split!r}; its splits are {', '.join(sorted(splits))}")
    return [
        Job(folder, f"{name}/{id}", name, index)
        for name in ([split] if split is not None else splits)
        for index, id in enumerate(splits[name].ids)
    ]


def _listed(path: Path) -> list[Path]:
    """The paths in a list: a line each, blank ones and those that begin with # left out."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise V2SError(f"{path}: cannot be read as a list of clips ({error}); expected a path a line") from error
    found = [path.parent / line for line in lines if line and not line.startswith("#")]
    if not found:
        raise V2SError(f"{path}: no clip in this list; expected a path a line")
    if nested := [entry for entry in found if entry.suffix.lower() == LIST_SUFFIX]:
        raise V2SError(f"{path}: names the list {nested[0]}; expected clips and folders")
    return found
