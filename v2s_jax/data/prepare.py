"""From a corpus tree to a data set: parallel over clips, resumable, and unmoved by bad ones.

Clips become serialised records in `OUT/.staging/clips`, each written whole under a name made of everything it depends
on, so an interrupted run goes on where it stopped and a changed clip or text is read anew. When all are there,
`staging.publish` makes the data set of them.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from v2s_jax.data import schema
from v2s_jax.data.corpus import ClipSpec, Corpus, select
from v2s_jax.data.metadata import METADATA_FILE, read_metadata
from v2s_jax.data.staging import SKIPPED_FILE, STAGING, WARNINGS_FILE, locked, publish, writing_to
from v2s_jax.data.summary import Skipped, Summary, summarise
from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing
from v2s_jax.progress import progress


@dataclasses.dataclass(frozen=True)
class Options:
    """What to prepare and how.

    Attributes:
        jobs: processes.
        speakers: only these; all when None.
        limit: at most so many clips of each split.
        clips_per_speaker: how many to make, for a corpus that makes its clips; its default when None.
        scene: how they are shot, for such a corpus, in its words; as it would by itself when "".
        face: which face track to follow; the steadiest largest one when None.
        landmarks: 5 or 68, as `media.clip.load_clip` takes it.
        timeout: seconds after which a clip is given up.
        runner: of Apache Beam, whose workers read the clips; processes of this machine when "".
        runner_options: of it, as on a command line.
        shard_megabytes: about the most, of a file of the data set.
    """

    jobs: int = 1
    speakers: tuple[str, ...] | None = None
    limit: int | None = None
    clips_per_speaker: int | None = None
    scene: str = ""
    face: int | None = None
    landmarks: int = 5
    timeout: float | int = 3600
    runner: str = ""
    runner_options: str = ""
    shard_megabytes: int = 128

    def recipe(self) -> dict[str, Any]:
        """What of this decides the data set's content, as JSON has it."""
        speakers = None if self.speakers is None else list(self.speakers)
        chosen = {"speakers": speakers, "limit": self.limit, "clips_per_speaker": self.clips_per_speaker}
        chosen |= {"face": self.face, "landmarks": self.landmarks}
        return chosen | ({"scene": self.scene} if self.scene else {})


@dataclasses.dataclass(frozen=True)
class _Task:
    spec: ClipSpec
    options: Options
    staged: Path
    pictures: bool


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
    with writing_to(out), locked(out):
        finished = (out / METADATA_FILE).exists()
        if source is None:
            if finished:
                return _check_recipe(out, corpus, options)
            made = "_".join(filter(None, ["source", str(options.clips_per_speaker), options.scene]))
            source = out / STAGING / made
            corpus.make_source(source, options.jobs, options.speakers, options.clips_per_speaker, options.scene)
        elif options.scene:
            raise V2SError(f"the scenes under {source} are as they are: leave --scene or --source out")
        specs = select(list(corpus.clips(source)), options.speakers, options.limit)
        if finished:
            return _check_same(out, specs)
        pictures = corpus.pictures
        tasks = [_Task(spec, options, _staged_path(out, spec, options, pictures), pictures) for spec in specs]
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
    results = _outcomes(todo, out, options)
    with contextlib.closing(results), open(out / STAGING / WARNINGS_FILE, "a", encoding="utf-8") as warnings:
        for task, result in progress(results, total=len(todo), unit="clips"):
            if isinstance(result, Failure):
                skipped.append(Skipped(task.spec.id, str(task.spec.path), result.reason, result.details))
            elif result:
                print(json.dumps({"id": task.spec.id, "warnings": result}), file=warnings, flush=True)
    return sorted(skipped, key=lambda clip: clip.id)


def _outcomes(todo: Sequence[_Task], out: Path, options: Options) -> Generator[tuple[_Task, tuple[str, ...] | Failure]]:
    """Every task with the warnings of its clip, its record in place, or why there is none."""
    if options.runner:
        from v2s_jax.data.beam import beam_options, run_on_beam

        how = beam_options(options.runner, options.runner_options, options.jobs)
        yield from run_on_beam(write_record, extract_task, todo, out / STAGING / "outcomes", how, options.timeout)
        return
    results = run_isolated(extract_task, todo, max(1, min(options.jobs, len(todo))), options.timeout)
    with contextlib.closing(results):
        for task, result in results:
            yield task, result if isinstance(result, Failure) else write_record(task, result)


def write_record(task: _Task, result: _Extracted) -> tuple[str, ...]:
    """Puts a record in its place; returns its clip's warnings."""
    with replacing(task.staged) as file:
        file.write(result.data)
    return result.warnings


def extract_task(task: _Task) -> _Extracted:
    """One clip's serialised record; runs in a worker, so what reads video is imported here."""
    spec = task.spec
    if not task.pictures:
        from v2s_jax.data.extract import record_of_sound

        return _Extracted(
            schema.encode(record_of_sound(spec.path, id=spec.id, speaker=spec.speaker, text=spec.text)), ()
        )
    from v2s_jax.data.extract import record_of
    from v2s_jax.media.clip import load_clip

    clip = load_clip(spec.path, face=task.options.face, landmarks=task.options.landmarks)
    record = record_of(clip, id=spec.id, speaker=spec.speaker, text=spec.text, source=spec.path.name)
    return _Extracted(schema.encode(record), tuple(clip.warnings))


def _staged_path(out: Path, spec: ClipSpec, options: Options, pictures: bool) -> Path:
    """Where a clip's record is staged: the name covers all that the record depends on."""
    try:
        status = spec.path.stat()
        state = (status.st_size, status.st_mtime_ns)
    except OSError:
        state = (0, 0)
    depends = (
        schema.SCHEMA_VERSION,
        sorted(schema.ARRAYS),  # a version of the program that extracts more begins anew
        spec.id,
        spec.speaker,
        spec.text,
        str(spec.path),
        state,
        options.face,
        options.landmarks,
        pictures,
    )
    name = hashlib.sha256(repr(depends).encode()).hexdigest()[:40]
    return out / STAGING / "clips" / name[:2] / f"{name}.example"


def _finish(corpus: Corpus, staged: Sequence[_Task], skipped: Sequence[Skipped], out: Path, options: Options) -> None:
    """Shards from staged records, with what is to be said of them."""
    by_split: dict[str, list[Path]] = {}
    for task in staged:
        by_split.setdefault(task.spec.split, []).append(task.staged)
    ids = {task.spec.id for task in staged}
    warnings = [json.loads(line) for line in (out / STAGING / WARNINGS_FILE).read_text().splitlines()]
    latest = {warning["id"]: warning for warning in warnings if warning["id"] in ids}
    notes = {
        SKIPPED_FILE: [dataclasses.asdict(clip) for clip in skipped],
        WARNINGS_FILE: [latest[id] for id in sorted(latest)],
    }
    publish(corpus, by_split, out, options.recipe(), notes, options.shard_megabytes)


def read_skipped(out: Path) -> list[Skipped]:
    """The clips that a finished data set could not use."""
    path = out / SKIPPED_FILE
    return [Skipped(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
