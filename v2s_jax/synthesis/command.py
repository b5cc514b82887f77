"""`v2s-jax synthesize`: clips and folders of clips to speech."""

import argparse
import contextlib
import functools
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from v2s_jax.arguments import positive
from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.atomic import make_folder
from v2s_jax.media.audio import write_wav
from v2s_jax.media.mux import put_sound_back
from v2s_jax.progress import progress
from v2s_jax.synthesis.jobs import Job, find_jobs, output_paths
from v2s_jax.synthesis.manifest import FAILED, Entry, Manifest, done_before, source_facts
from v2s_jax.synthesis.options import add_sampler_option
from v2s_jax.synthesis.pretrained import DEFAULT
from v2s_jax.synthesis.reading import Read, read
from v2s_jax.synthesis.speech import Speech, real_time_factor
from v2s_jax.synthesis.synthesizer import Synthesizer

HELP = "speak clips: a wav for each, and an mp4 with the sound put back"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="clips, or folders searched for clips")
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
    parser.add_argument("--no-video", action="store_true", help="write no mp4, only the wav")
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes that read clips (default: one a core)")


def run(args: argparse.Namespace) -> int:
    """Speaks every clip that an earlier run has not, prints a summary; returns 3 when some clips failed."""
    jobs = find_jobs(args.inputs, args.out)
    synthesizer = Synthesizer.from_pretrained(args.model, vocoder=args.vocoder, sampler=dict(args.sampler))
    if args.voice:
        synthesizer = synthesizer.in_voice_of(args.voice)
    make_folder(args.out)
    made_by = {"model": args.model, "fingerprint": synthesizer.fingerprint(), "face": args.face}
    done = done_before(args.out, jobs, made_by, not args.no_video)
    todo = [job for job in jobs if job.name not in done]
    start, spoken = time.perf_counter(), 0.0
    with Manifest(args.out, list(done.values())) as manifest, contextlib.closing(_read_all(todo, args)) as clips:
        for job, outcome in progress(clips, len(todo), "clips"):
            entry = source_facts(job) | made_by | _speak(job, outcome, synthesizer, args)
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


def _read_all(jobs: list[Job], args: argparse.Namespace) -> Generator[tuple[Job, Any], None, None]:
    """Clips as they are read, a few ahead at most: each process holds one."""
    processes = min(args.jobs or os.cpu_count() or 1, len(jobs))
    yield from run_isolated(functools.partial(read, face=args.face), jobs, processes)


def _speak(job: Job, outcome: Read | Failure, synthesizer: Synthesizer, args: argparse.Namespace) -> Entry:
    """Speaks one clip and writes its files; what goes wrong with it alone becomes its entry.

    Raises:
        V2SError: a file cannot be written, which would be so for the next clip too.
    """
    wav, video = output_paths(args.out, job.name)
    try:
        if isinstance(outcome, Failure):
            raise BadClip(outcome.reason)
        speech = synthesizer(outcome.clip)
        writing = time.perf_counter()
        make_folder(wav.parent)
        if not args.no_video:
            put_sound_back(job.source, speech.waveform, video)
        write_wav(wav, speech.waveform)
        timings = {"read": outcome.seconds} | speech.timings | {"write": time.perf_counter() - writing}
    except Exception as error:
        # Not even an older output may stay, since it would pass for this run's.
        for path in (wav, video):
            path.unlink(missing_ok=True)
        if isinstance(error, V2SError) and not isinstance(error, BadClip):
            raise
        known = isinstance(error, BadClip)
        return {"status": "failed", "error": str(error) if known else _surprise(job, error)}
    return (
        _facts(speech, timings) | {"wav": f"{job.name}.wav"} | ({} if args.no_video else {"video": f"{job.name}.mp4"})
    )


def _surprise(job: Job, error: Exception) -> str:
    return f"{job.source}: unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _facts(speech: Speech, timings: dict[str, float]) -> Entry:
    clip = speech.clip
    assert clip is not None
    return {
        "status": "ok",
        "seconds": round(speech.seconds, 3),
        "coverage": round(clip.coverage, 4),
        "confidence": round(clip.confidence, 4),
        "faces_seen": clip.n_faces,
        "warnings": [f"{clip.path}: {warning}" for warning in clip.warnings],
        "timings": {stage: round(seconds, 4) for stage, seconds in timings.items()},
        "real_time_factor": round(real_time_factor(timings, speech.seconds), 4),
    }
