"""Command-line options of what scores speech."""

import argparse

from v2s_jax.arguments import positive
from v2s_jax.evaluation.metrics import METRICS, choose
from v2s_jax.evaluation.recognizer import Recognizer
from v2s_jax.evaluation.scoring import choose_encoder


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--split` and `--limit`."""
    parser.add_argument("--split", default="test", help="its split (default: %(default)s)")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most N clips of the split, evenly spread")


def spread(total: int, limit: int | None) -> list[int]:
    """Places of at most `limit` of `total` clips, evenly spread, as `--limit` says; of all when None."""
    count = total if limit is None else min(limit, total)
    return [number * total // count for number in range(count)]


def add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--grammar`, `--metrics` and `--jobs`."""
    parser.add_argument(
        "--grammar", metavar="grid|free|FILE", help="what the recogniser may hear (default: grid if all texts are)"
    )
    parser.add_argument(
        "--metrics", type=lambda names: names.split(","), metavar="A,B", help=f"of {','.join(m.name for m in METRICS)}"
    )
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes that score (default: one a core)")


def check_scoring(args: argparse.Namespace, speaker_encoder: str | None = None) -> None:
    """Refuses metrics and a grammar that cannot be had, before any work is done.

    Raises:
        V2SError: there are such.
    """
    choose(args.metrics, True, choose_encoder(args.metrics, speaker_encoder))
    if args.grammar:
        Recognizer(args.grammar)
