"""Command-line options that every command with a speaking model has."""

import argparse
import math


def add_sampler_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--sampler`, a list of (name, value) as `args.sampler`."""
    parser.add_argument(
        "--sampler",
        "--control",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for models that sample (evaluations=10, guidance=3), refine (rounds=2) or make prosody (pitch_shift=2); "
        "repeatable",
    )


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=NUMBER")
    return name, number
