"""`v2s-jax bench`: the project's own speed figures on this machine."""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from v2s_jax.arguments import positive

COPIES = 16  # clips of the stand-in data set
TRAIN_STEPS = 20
HELP = "speed figures on this machine: the loader, a training step, synthesis, every model beside PyTorch"

Figures = Iterable[tuple[str, float]]  # by name, as they come


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what to measure and on which data."""
    parser.add_argument("subject", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}; all if none is named")
    parser.add_argument("--data", metavar="DIR", help="a prepared data set; copies of the demo clip if none is named")
    parser.add_argument("--split", default="train", help="of the data set (%(default)s)")
    parser.add_argument("--clips", metavar="DIR", help="the video files it was made from; the demo clip if none")
    parser.add_argument("--model", metavar="M", help="for synthesize: a shipped name, a model folder or a workdir")
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N", help="for synthesize (%(default)s)")
    parser.add_argument("--parts", metavar="A,B", help="of models: which, all but the large ones if none is named")
    parser.add_argument("--seconds", type=float, default=5.0, help="spent on each figure (%(default)s)")
    parser.add_argument("--out", metavar="FILE", help="write the figures as JSON, too")


def run(args: argparse.Namespace) -> int:
    """Measures, prints a line a figure, and writes JSON if asked."""
    from v2s_jax.errors import V2SError

    unknown = [name for name in args.subject if name not in SUBJECTS]
    if unknown:
        raise V2SError(f"bench knows no {unknown[0]!r}: choose from {', '.join(SUBJECTS)}.")
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.subject or SUBJECTS:
            figures[name] = {}
            for figure, value in SUBJECTS[name](args, Path(folder)):
                figures[name][figure] = value
                print(f"{name:10} {figure:52} {value:10.4g}", flush=True)
    if args.out:
        Path(args.out).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def bench_loader(args: argparse.Namespace, scratch: Path) -> Figures:
    """Clips a second of one core, from shards and from mp4 files."""
    from v2s_jax.data.corpus import video_files
    from v2s_jax.data.throughput import measure
    from v2s_jax.synthesis.demo import shipped_clip

    clips = video_files(Path(args.clips)) if args.clips else [shipped_clip()[0]]
    found = measure(data_set(args, scratch), args.split, clips, seconds=args.seconds)
    return {
        "clips/s per core from shards": found.shards,
        "clips/s per core decoding video files": found.video,
        "ratio": found.ratio,
    }.items()


def bench_train(args: argparse.Namespace, scratch: Path) -> Figures:
    """Steps a second of a real run of the `tiny` svts on batches of 8, and the share of time it waits for data."""
    from v2s_jax.systems import svts
    from v2s_jax.training.defaults import default_config
    from v2s_jax.training.loop import train

    config = default_config()
    config.system = svts.default_config("tiny")
    config.data.update({"path": str(data_set(args, scratch)), "batch_size": 8, "cache": True})
    config.validation.every = 0
    config.train.update({"steps": TRAIN_STEPS, "log_every": TRAIN_STEPS, "save_every": 0})
    train(config, scratch / "run")
    log = (scratch / "run" / "metrics.jsonl").read_text().splitlines()
    last = json.loads(log[-1])
    return [("steps/s (8 clips each)", last["steps_per_second"]), ("share of time waiting for data", last["data_wait"])]


def bench_synthesize(args: argparse.Namespace, scratch: Path) -> Figures:
    """Seconds of speech a second of each speaking model and number of steps, stage by stage, beside PyTorch."""
    from v2s_jax.data.metadata import read_metadata
    from v2s_jax.evaluation.bench_synthesis import MODELS, measure
    from v2s_jax.synthesis.demo import shipped_clip

    data = data_set(args, scratch)
    splits = read_metadata(data).splits
    split = args.split if args.split in splits else next(iter(splits))
    models = [args.model] if args.model else list(MODELS)
    return measure(models, data, split, shipped_clip()[0], args.seconds, args.batch_size)


def bench_models(args: argparse.Namespace, scratch: Path) -> Figures:
    """Every model, forward and training, beside PyTorch."""
    from v2s_jax.evaluation.bench_models import BY_DEFAULT, measure

    return measure(args.parts.split(",") if args.parts else BY_DEFAULT, scratch, args.seconds)


def data_set(args: argparse.Namespace, scratch: Path) -> Path:
    """The data set named, or one of copies of the demo clip."""
    if args.data:
        return Path(args.data)
    made = scratch / "data"
    if not made.exists():
        from v2s_jax.data.prepare import prepare

        prepare(copies_of_demo_clip(), scratch, made)
    return made


def copies_of_demo_clip() -> Any:
    """A corpus of the demo clip again and again."""
    from v2s_jax.data.corpus import ClipSpec, Corpus
    from v2s_jax.synthesis.demo import shipped_clip

    class Copies(Corpus):
        name = "copies"
        description = "Copies of the demo clip, to measure speed on."

        def clips(self, source: Path) -> Iterator[ClipSpec]:
            del source
            path, text = shipped_clip()
            return (ClipSpec(f"copy{i}", "demo", path, text, "train") for i in range(COPIES))

    return Copies()


SUBJECTS: dict[str, Callable[[Any, Path], Figures]] = {
    "loader": bench_loader,
    "train": bench_train,
    "synthesize": bench_synthesize,
    "models": bench_models,
}
