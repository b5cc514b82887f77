"""From a corpus tree to a data set: parallel over clips, resumable, and unmoved by bad ones.

Clips become serialised records in `OUT/.staging/clips`, each written whole under a name made of everything it depends
on, so an interrupted run goes on where it stopped and a changed clip or text is read anew. When all are there, a TFDS
builder turns them into shards below `OUT/.staging/build`; the files then move up into OUT, `v2s.json` last, and the
staging goes.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from v2s_jax.data import schema
from v2s_jax.data.corpus import ClipSpec, Corpus, select
from v2s_jax.data.metadata import METADATA_FILE, read_metadata, write_metadata
from v2s_jax.data.summary import Skipped, Summary, summarise
from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing
from v2s_jax.progress import progress

STAGING = ".staging"
SKIPPED_FILE = "skipped.jsonl"
WARNINGS_FILE = "warnings.jsonl"


@dataclasses.dataclass(frozen=True)
class Options:
    """What to prepare and how.

    Attributes:
        jobs: processes.
        speakers: only these; all when None.
        limit: at most so many clips of each split.
        clips_per_speaker: how many to make, for a corpus that makes its clips; its default when None.
        face: which face track to follow; the steadiest largest one when None.
        landmarks: 5 or 68, as `media.clip.load_clip` takes it.
        timeout: seconds after which a clip is given up.
    """

    jobs: int = 1
    speakers: tuple[str, ...] | None = None
    limit: int | None = None
    clips_per_speaker: int | None = None
    face: int | None = None
    landmarks: int = 5
    timeout: float | int = 3600

    def recipe(self) -> dict[str, Any]:
        """What of this decides the data set's content, as JSON has it."""
        speakers = None if self.speakers is None else list(self.speakers)
        chosen = {"speakers": speakers, "limit": self.limit, "clips_per_speaker": self.clips_per_speaker}
        return chosen | {"face": self.face, "landmarks": self.landmarks}


@dataclasses.dataclass(frozen=True)
class _Task:
    spec: ClipSpec
    options: Options
    staged: Path


@dataclasses.dataclass(frozen=True)
class _Extracted:
    data: bytes
    warnings: tuple[str, ...]


def prepare(corpus: Corpus, source: Path | None, out: Path, options: Options = Options()) -> Summary:
    """Makes the data set `out` of the clips of `corpus` under `source`.

    Args:
        corpus: lists the clips.
        source: the corpus's folder; None for a corpus that makes its own clips.
        out: the data set's folder; an unfinished one is taken up again, a finished one of the same clips is left alone.
        options: what to take and how.

    Raises:
        V2SError: the source has no clips, none could be used, or `out` cannot be written or holds another data set.
    """
    with writing_to(out), _locked(out):
        finished = (out / METADATA_FILE).exists()
        if source is None:
            if finished:
                return _check_recipe(out, corpus, options)
            source = out / STAGING / f"source_{options.clips_per_speaker}"
            corpus.make_source(source, options.jobs, options.speakers, options.clips_per_speaker)
        specs = select(list(corpus.clips(source)), options.speakers, options.limit)
        if finished:
            return _check_same(out, specs)
        tasks = [_Task(spec, options, _staged_path(out, spec, options)) for spec in specs]
        skipped = _stage(tasks, out, options)
        staged = [task for task in tasks if task.staged.exists()]
        if not staged:
            raise V2SError(f"none of the {len(tasks)} clips could be used; the first: {skipped[0].reason}")
        _finish(corpus, staged, skipped, out, options)
        return summarise(out, skipped)


def _check_same(out: Path, specs: Sequence[ClipSpec]) -> Summary:
    """Nothing to do when the clips asked for are those that the data set was made of; otherwise an error."""
    skipped = read_skipped(out)
    held = {id for split in read_metadata(out).splits.values() for id in split.ids} | {clip.id for clip in skipped}
    asked = {spec.id for spec in specs}
    if asked != held:
        raise V2SError(
            f"{out} is already a finished data set of other clips ({len(held)} clips, {len(asked)} asked for, "
            f"{len(asked & held)} in both); give another --out or remove it first"
        )
    return _nothing_to_do(out, skipped)


def _check_recipe(out: Path, corpus: Corpus, options: Options) -> Summary:
    """Like `_check_same` for a corpus that makes its clips, without making them again."""
    metadata = read_metadata(out)
    if (metadata.corpus, metadata.recipe) != (corpus.name, options.recipe()):
        raise V2SError(
            f"{out} is already a finished data set of {metadata.corpus} made with other options ({metadata.recipe}); "
            "give another --out or remove it first"
        )
    return _nothing_to_do(out, read_skipped(out))


def _nothing_to_do(out: Path, skipped: list[Skipped]) -> Summary:
    shutil.rmtree(out / STAGING, ignore_errors=True)  # left if the last run was stopped at its very end
    return dataclasses.replace(summarise(out, skipped), nothing_to_do=True)


def _stage(tasks: Sequence[_Task], out: Path, options: Options) -> list[Skipped]:
    """Makes the records that are not staged yet; returns the clips that gave none."""
    todo = [task for task in tasks if not task.staged.exists()]
    for folder in {task.staged.parent for task in todo}:
        folder.mkdir(parents=True, exist_ok=True)
    skipped = []
    results = run_isolated(extract_task, todo, max(1, min(options.jobs, len(todo))), options.timeout)
    with contextlib.closing(results), open(out / STAGING / WARNINGS_FILE, "a", encoding="utf-8") as warnings:
        for task, result in progress(results, total=len(todo), unit="clips"):
            if isinstance(result, Failure):
                skipped.append(Skipped(task.spec.id, str(task.spec.path), result.reason, result.details))
                continue
            with replacing(task.staged) as file:
                file.write(result.data)
            if result.warnings:
                print(json.dumps({"id": task.spec.id, "warnings": result.warnings}), file=warnings, flush=True)
    return sorted(skipped, key=lambda clip: clip.id)


def extract_task(task: _Task) -> _Extracted:
    """One clip's serialised record; runs in a worker, so what reads video is imported here."""
    from v2s_jax.data.extract import record_of
    from v2s_jax.media.clip import load_clip

    spec = task.spec
    clip = load_clip(spec.path, face=task.options.face, landmarks=task.options.landmarks)
    record = record_of(clip, id=spec.id, speaker=spec.speaker, text=spec.text, source=spec.path.name)
    return _Extracted(schema.encode(record), tuple(clip.warnings))


def _staged_path(out: Path, spec: ClipSpec, options: Options) -> Path:
    """Where a clip's record is staged: the name covers all that the record depends on."""
    try:
        status = spec.path.stat()
        state = (status.st_size, status.st_mtime_ns)
    except OSError:
        state = (0, 0)
    depends = (
        schema.SCHEMA_VERSION,
        spec.id,
        spec.speaker,
        spec.text,
        str(spec.path),
        state,
        options.face,
        options.landmarks,
    )
    name = hashlib.sha256(repr(depends).encode()).hexdigest()[:40]
    return out / STAGING / "clips" / name[:2] / f"{name}.example"


def _finish(corpus: Corpus, staged: Sequence[_Task], skipped: Sequence[Skipped], out: Path, options: Options) -> None:
    """Shards from staged records, then everything to its final place."""
    from v2s_jax.data.builder import build
    from v2s_jax.data.sheet import contact_sheet

    by_split: dict[str, list[Path]] = {}
    for task in staged:
        by_split.setdefault(task.spec.split, []).append(task.staged)
    work = out / STAGING / "build"
    shutil.rmtree(work, ignore_errors=True)
    folder, metadata = build(corpus, by_split, work)
    write_metadata(folder, dataclasses.replace(metadata, recipe=options.recipe()))
    contact_sheet(folder, folder / "contact_sheet.png")
    _write_lines(folder / SKIPPED_FILE, [dataclasses.asdict(clip) for clip in skipped])
    ids = {task.spec.id for task in staged}
    warnings = [json.loads(line) for line in (out / STAGING / WARNINGS_FILE).read_text().splitlines()]
    latest = {warning["id"]: warning for warning in warnings if warning["id"] in ids}
    _write_lines(folder / WARNINGS_FILE, [latest[id] for id in sorted(latest)])
    names = sorted(path.name for path in folder.iterdir() if path.name != METADATA_FILE)
    for name in [*names, METADATA_FILE]:  # a reader takes the folder for a data set once v2s.json is there
        os.replace(folder / name, out / name)
    shutil.rmtree(out / STAGING)


def _write_lines(path: Path, items: Sequence[dict]) -> None:
    if items:
        with replacing(path) as file:
            file.write("".join(json.dumps(item) + "\n" for item in items).encode())


def read_skipped(out: Path) -> list[Skipped]:
    """The clips that a finished data set could not use."""
    path = out / SKIPPED_FILE
    return [Skipped(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One run at a time on `out`; the lock goes with the process, however it ends."""
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise V2SError(f"another v2s-jax prepare is working on {out}; wait for it or give another --out") from error
    finally:
        os.close(folder)


@contextlib.contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Turns what can go wrong while writing `out` into one sentence."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(out))
        yield
    except (OSError, RuntimeError, ValueError) as error:
        code = getattr(error, "errno", None)
        # ArrayRecord's writer reports the system's error inside a message of its own.
        if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            sentence = f"the disk of {out} is full; free some and run the command again, it goes on where it stopped"
        elif code in (errno.EACCES, errno.EROFS, errno.EPERM, errno.EEXIST, errno.ENOTDIR):
            sentence = f"cannot write to {out} ({os.strerror(code)}); give a folder that can be written with --out"
        else:
            raise
        raise V2SError(sentence) from error
