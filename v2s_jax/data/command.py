"""`v2s-jax prepare`: a corpus tree to a data set."""

import argparse
import os
from pathlib import Path

from v2s_jax.arguments import positive
from v2s_jax.data.corpus import find_corpus
from v2s_jax.data.prepare import Options, prepare

HELP = "turn a corpus of talking-face clips into a data set to train on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument(
        "corpus", help="talker, grid, lrs3, lrs2, lrw, tcd_timit, folder, voices, or another installed corpus"
    )
    parser.add_argument("--source", type=Path, metavar="DIR", help="the corpus's folder (talker makes its own without)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data set's folder")
    parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--speakers", type=lambda names: tuple(names.split(",")), metavar="A,B", help="only these")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most N clips of each split")
    parser.add_argument("--clips-per-speaker", type=positive, metavar="N", help="how many clips talker makes of each")
    parser.add_argument(
        "--scene", default="", metavar="TEXT", help="how talker's clips are shot, such as turn=30 or dark=0.9+clutter=1"
    )
    parser.add_argument("--face", type=int, metavar="N", help="which face to follow where there are several")
    parser.add_argument(
        "--landmarks",
        type=int,
        choices=(5, 68),
        default=5,
        help="68: AV-HuBERT's own recipe, with a model for research use only",
    )
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="SECONDS", help="give a clip up after this")
    parser.add_argument(
        "--runner",
        default="",
        metavar="direct|dataflow|flink|spark",
        help="clips are read by workers of Apache Beam, to whom this package and --out must be at hand",
    )
    parser.add_argument(
        "--runner-options", default="", metavar="OPTIONS", help='of it, such as "--project=P --region=R"'
    )
    parser.add_argument(
        "--shard-megabytes", type=positive, default=128, metavar="N", help="of a file, about (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Prepares, prints the summary, and returns 3 when some clips were skipped."""
    options = Options(
        jobs=args.jobs,
        speakers=args.speakers,
        limit=args.limit,
        clips_per_speaker=args.clips_per_speaker,
        scene=args.scene,
        face=args.face,
        landmarks=args.landmarks,
        timeout=args.timeout,
        runner=args.runner,
        runner_options=args.runner_options,
        shard_megabytes=args.shard_megabytes,
    )
    summary = prepare(find_corpus(args.corpus), args.source, args.out, options)
    print(summary)
    return 3 if summary.skipped else 0
