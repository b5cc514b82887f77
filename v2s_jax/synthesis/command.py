"""`v2s-jax synthesize`: clips, folders and lists of them, and prepared data sets to speech."""

import argparse
import contextlib
import dataclasses
import functools
import os
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import jax

from v2s_jax.arguments import positive
from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.atomic import make_folder
from v2s_jax.progress import progress
from v2s_jax.synthesis import scratch
from v2s_jax.synthesis.compilation import Ahead, expected_frames, keep_compiled
from v2s_jax.synthesis.jobs import Job, Wanted, find_jobs, part_of
from v2s_jax.synthesis.manifest import Entry, Manifest, done_before, source_facts
from v2s_jax.synthesis.options import add_batch_option, add_compilation_option, add_sampler_option, batch_size
from v2s_jax.synthesis.outputs import written
from v2s_jax.synthesis.overlap import Overlap, Stage
from v2s_jax.synthesis.pretrained import DEFAULT
from v2s_jax.synthesis.reading import Packed, Read, patience, read
from v2s_jax.synthesis.speech import Speech
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.training.precision import COMPUTE

HELP = "speak clips and records: a wav for each, and an mp4 of clips with the sound put back"
INPUTS = "clips, folders searched for clips, lists (.txt, a path a line) of these, or prepared data sets"
_WRITERS = 2
Key = tuple[Job, Read | Failure]


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
    parser.add_argument("--units", action="store_true", help="write the content's units, too, of models that have them")
    parser.add_argument("--no-video", action="store_true", help="write no mp4, only the sound")
    add_batch_option(parser)
    parser.add_argument(
        "--precision", choices=COMPUTE, default="float32", help="of the network's computation (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes that read clips (default: one a core)")
    parser.add_argument(
        "--part",
        type=_part,
        metavar="I/N",
        help="speak every Nth clip only, from the Ith, for N machines to share (default: all; on a pod its own)",
    )
    add_compilation_option(parser)


def run(args: argparse.Namespace) -> int:
    """Speaks all that an earlier run has not, prints a summary; returns 3 when some clips failed."""
    keep_compiled(args.compilation_cache)
    wanted = Wanted(args.format, not args.no_video, args.mel, args.units)
    part = args.part or (jax.process_index() + 1, jax.process_count())
    jobs = part_of(find_jobs(args.inputs, args.out, wanted, args.split), part)
    synthesizer = Synthesizer.from_pretrained(
        args.model,
        batch_size(args),
        vocoder=args.vocoder,
        sampler=dict(args.sampler),
        units=args.units,
        precision=args.precision,
    )
    if args.voice:
        synthesizer = synthesizer.in_voice_of(args.voice)
    make_folder(args.out)
    made_by = {"model": args.model, "fingerprint": synthesizer.fingerprint(), "face": args.face}
    made_by["precision"] = args.precision
    made_by["sampler"] = dict(synthesizer.network.knobs)
    done = done_before(args.out, jobs, made_by, wanted)
    todo = [job for job in jobs if job.name not in done]
    with Manifest(args.out, list(done.values()), part) as manifest:
        summary = _Run(args, synthesizer, made_by, wanted, manifest).speak(todo)
        manifest.finish(summary)
    failed, spoken = len(manifest.failures), summary["seconds_of_speech"]
    print(
        f"{len(todo) - failed} of {len(todo)} clips spoken into {args.out}"
        + (f", {spoken:.0f} s of speech in {summary['seconds']:.0f} s" if spoken else "")
        + (f"; {len(done)} were done before" if done else "")
        + (f"; {failed} failed, listed in {manifest.failed}" if failed else "")
    )
    if spoken:
        print("waiting: " + ", ".join(f"{stage} {share:.0%}" for stage, share in summary["waits"].items()))
    return 3 if failed else 0


class _Run:
    """Clips through the stages: processes that read, then a thread each for network, vocoder, writing and the manifest.

    Between two of them a few clips wait at most.
    """

    def __init__(
        self, args: argparse.Namespace, synthesizer: Synthesizer, made_by: Entry, wanted: Wanted, manifest: Manifest
    ):
        self.args, self.synthesizer, self.made_by = args, synthesizer, made_by
        self.wanted, self.manifest, self.spoken, self.read_seconds = wanted, manifest, 0.0, 0.0

    def speak(self, todo: list[Job]) -> Entry:
        """Speaks these; returns what is to be said of them together."""
        args, start = self.args, time.perf_counter()
        processes = max(1, min(args.jobs or os.cpu_count() or 1, len(todo)))
        with (
            tempfile.TemporaryDirectory(prefix=".reading-", dir=args.out) as spool,
            scratch.kept_in(Path(spool)),
            Ahead(self.synthesizer, expected_frames(todo)) as ahead,
        ):
            if ahead.programs:
                print(f"compiling {ahead.programs} programs while reading begins", file=sys.stderr)
            stages = [
                Stage("network", lambda keys: self.synthesizer.made(self._looks(keys), ahead.rungs)),
                Stage("vocoder", lambda made: self.synthesizer.sounded(made, ahead.vocoder_rungs)),
                Stage("writing", self._write, threads=_WRITERS),
                Stage("manifest", lambda entries: self._list(progress(entries, len(todo), "clips"))),
            ]
            reading = _read_all(todo, args, self.synthesizer.looks_at, processes, Path(spool))
            with contextlib.closing(reading) as keys, Overlap(stages) as overlap:
                for key in keys:
                    overlap.put(self._opened(key))
        seconds = time.perf_counter() - start
        waits = {"reading": max(0.0, 1 - self.read_seconds / processes / seconds)} | overlap.waits
        return {
            "clips": len(todo),
            "failed": len(self.manifest.failures),
            "seconds_of_speech": round(self.spoken, 3),
            "seconds": round(seconds, 3),
            "waits": {stage: round(share, 4) for stage, share in waits.items() if stage != "manifest"},
            "compiled_ahead": ahead.programs,
            "compiling": round(ahead.seconds, 3),
            "compilations": self.synthesizer.compilations,
        }

    def _opened(self, key: Key) -> Key:
        job, outcome = key
        if not isinstance(outcome, Read):
            return key
        self.read_seconds += outcome.seconds
        clip = outcome.clip.unpacked() if isinstance(outcome.clip, Packed) else outcome.clip
        return job, Read(clip, outcome.seconds)

    def _looks(self, keys: Iterator[Key]) -> Iterator[tuple[Key, Any]]:
        for job, outcome in keys:
            look: Any = BadClip(outcome.reason) if isinstance(outcome, Failure) else None
            if isinstance(outcome, Read) and not isinstance(outcome.clip, Packed):
                try:
                    look = self.synthesizer.look(outcome.clip)
                except V2SError as error:
                    look = error
            yield (job, outcome), look

    def _write(self, speeches: Iterator[tuple[Key, Speech | Exception]]) -> Iterator[tuple[Job, Entry]]:
        for (job, outcome), speech in speeches:
            if isinstance(speech, Speech) and isinstance(outcome, Read):
                speech = dataclasses.replace(speech, timings={"read": outcome.seconds} | speech.timings)
            seen = outcome.clip if isinstance(outcome, Read) and not isinstance(outcome.clip, Packed) else None
            yield job, written(job, speech, seen, self.args.out, self.wanted)

    def _list(self, entries: Iterator[tuple[Job, Entry]]) -> Iterator[None]:
        for job, entry in entries:
            self.manifest.add(source_facts(job) | self.made_by | entry)
            self.spoken += entry.get("seconds", 0.0)
            for sentence in entry.get("warnings", [entry.get("error")]):
                print(sentence, file=sys.stderr)
            yield


def _read_all(
    jobs: list[Job], args: argparse.Namespace, fields: frozenset[str], processes: int, spool: Path
) -> Generator[tuple[Job, Any], None, None]:
    """Clips as they are read, a few ahead at most: each process holds one."""
    one = functools.partial(read, face=args.face, fields=fields, spool=spool)
    yield from run_isolated(one, jobs, processes, patience)


def _part(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part I/N, such as 1/4")
    return int(number), int(count)
