"""`v2s-jax synthesize`: clips, folders and lists of them, and prepared data sets to speech."""

import argparse
import contextlib
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from v2s_jax.arguments import positive
from v2s_jax.data.schema import Record
from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.atomic import make_folder, replacing
from v2s_jax.media.audio import write_flac, write_wav
from v2s_jax.media.clip import Clip
from v2s_jax.media.mux import put_sound_back
from v2s_jax.progress import progress
from v2s_jax.synthesis.jobs import Job, Wanted, find_jobs, output_paths
from v2s_jax.synthesis.manifest import FAILED, Entry, Manifest, done_before, source_facts
from v2s_jax.synthesis.options import add_batch_option, add_sampler_option, batch_size
from v2s_jax.synthesis.pretrained import DEFAULT
from v2s_jax.synthesis.reading import Read, read
from v2s_jax.synthesis.speech import Speech, real_time_factor
from v2s_jax.synthesis.synthesizer import Synthesizer

HELP = "speak clips and records: a wav for each, and an mp4 of clips with the sound put back"
INPUTS = "clips, folders searched for clips, lists (.txt, a path a line) of these, or prepared data sets"
Outcome = tuple[Job, Read | Failure]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help=INPUTS)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the output")
    parser.add_argument(
        "--model", default=DEFAULT, metavar="NAME-OR-PATH", help="shipped name, exported folder or training workdir"
    )
    parser.add_argument(
        "--vocoder", metavar="NAME-OR-PATH", help="griffin_lim or a trained one (default: what the model's config says)"
    )
    add_sampler_option(parser)
    parser.add_argument(
        "--face", type=positive, metavar="N", help="which face of several, left to right (default: steadiest largest)"
    )
    parser.add_argument(
        "--voice", type=Path, metavar="FILE", help="speak in the voice of a recording, or that a clip's face suggests"
    )
    parser.add_argument("--split", metavar="NAME", help="of prepared data sets (default: all)")
    parser.add_argument("--format", choices=("wav", "flac"), default="wav", help="of the sound (default: wav)")
    parser.add_argument("--mel", action="store_true", help="write the log-mel, too (.npy, [frames, 80] at 100 Hz)")
    parser.add_argument("--no-video", action="store_true", help="write no mp4, only the sound")
    add_batch_option(parser)
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes that read clips (default: one a core)")


def run(args: argparse.Namespace) -> int:
    """Speaks all that an earlier run has not, prints a summary; returns 3 when some clips failed."""
    wanted = Wanted(args.format, not args.no_video, args.mel)
    jobs, rows = find_jobs(args.inputs, args.out, wanted, args.split), batch_size(args)
    synthesizer = Synthesizer.from_pretrained(args.model, rows, vocoder=args.vocoder, sampler=dict(args.sampler))
    if args.voice:
        synthesizer = synthesizer.in_voice_of(args.voice)
    make_folder(args.out)
    made_by = {"model": args.model, "fingerprint": synthesizer.fingerprint(), "face": args.face}
    done = done_before(args.out, jobs, made_by, wanted)
    todo = [job for job in jobs if job.name not in done]
    start, spoken = time.perf_counter(), 0.0
    reading = contextlib.closing(_read_all(todo, args, synthesizer.looks_at))
    with Manifest(args.out, list(done.values())) as manifest, reading as outcomes:
        for job, speech in _spoken(progress(outcomes, len(todo), "clips"), synthesizer, rows):
            entry = source_facts(job) | made_by | _written(job, speech, args.out, wanted)
            manifest.add(entry)
            spoken += entry.get("seconds", 0.0)
            for sentence in entry.get("warnings", [entry.get("error")]):
                print(sentence, file=sys.stderr)
        manifest.finish()
    spent, failed = time.perf_counter() - start, len(manifest.failures)
    print(
        f"{len(todo) - failed} of {len(todo)} clips spoken into {args.out}"
        + (f", {spoken:.0f} s of speech in {spent:.0f} s" if spoken else "")
        + (f"; {len(done)} were done before" if done else "")
        + (f"; {failed} failed, listed in {args.out / FAILED}" if failed else "")
    )
    return 3 if failed else 0


def _read_all(
    jobs: list[Job], args: argparse.Namespace, fields: frozenset[str]
) -> Generator[tuple[Job, Any], None, None]:
    """Clips as they are read, a few ahead at most: each process holds one."""
    processes = min(args.jobs or os.cpu_count() or 1, len(jobs))
    yield from run_isolated(functools.partial(read, face=args.face, fields=fields), jobs, processes)


def _spoken(
    outcomes: Iterable[Outcome], synthesizer: Synthesizer, rows: int
) -> Iterator[tuple[Job, Speech | Exception]]:
    """The speech of each, or why there is none; `rows` are computed together."""
    group: list[Outcome] = []
    for outcome in outcomes:
        group.append(outcome)
        if len(group) == rows:
            yield from _together(group, synthesizer)
            group = []
    yield from _together(group, synthesizer)


def _together(group: list[Outcome], synthesizer: Synthesizer) -> Iterator[tuple[Job, Speech | Exception]]:
    """Clips in one batch and records in another; if one of them cannot be spoken, each by itself."""
    for job, outcome in group:
        if isinstance(outcome, Failure):
            yield job, BadClip(outcome.reason)
    kinds: tuple[tuple[type, Callable[[Any], list[Speech]]], ...]
    kinds = ((Clip, synthesizer.batch), (Record, synthesizer.records))
    for kind, speak in kinds:
        own = [(job, outcome) for job, outcome in group if isinstance(outcome, Read) and isinstance(outcome.clip, kind)]
        try:
            speeches = speak([outcome.clip for _, outcome in own])
        except Exception as error:
            if len(own) > 1:
                for one in own:
                    yield from _together([one], synthesizer)
            else:
                yield own[0][0], error
            continue
        for (job, outcome), speech in zip(own, speeches, strict=True):
            yield job, dataclasses.replace(speech, timings={"read": outcome.seconds} | speech.timings)


def _written(job: Job, speech: Speech | Exception, out: Path, wanted: Wanted) -> Entry:
    """Writes the files of one clip; what goes wrong with it alone becomes its entry.

    Raises:
        V2SError: a file cannot be written, which would be so for the next clip too.
    """
    paths, start = output_paths(out, job, wanted), time.perf_counter()
    try:
        if isinstance(speech, Exception):
            raise speech
        make_folder(paths["sound"].parent)
        if "video" in paths:
            put_sound_back(job.source, speech.waveform, paths["video"])
        if "mel" in paths:
            with replacing(paths["mel"]) as file:
                np.save(file, speech.log_mel.astype(np.float32))
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
    return _facts(speech, speech.timings | {"write": time.perf_counter() - start}) | names


def _surprise(job: Job, error: Exception) -> str:
    return f"{job.source}: unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _facts(speech: Speech, timings: dict[str, float]) -> Entry:
    return {
        "status": "ok",
        "seconds": round(speech.seconds, 3),
        **(_sighting(speech.clip) if speech.clip is not None else {"warnings": []}),
        "timings": {stage: round(seconds, 4) for stage, seconds in timings.items()},
        "real_time_factor": round(real_time_factor(timings, speech.seconds), 4),
    }


def _sighting(clip: Clip) -> Entry:
    return {
        "coverage": round(clip.coverage, 4),
        "confidence": round(clip.confidence, 4),
        "faces_seen": clip.n_faces,
        "warnings": [f"{clip.path}: {warning}" for warning in clip.warnings],
    }
