"""Command-line options that every command with a speaking model has."""

import argparse
import math

import jax

from v2s_jax.arguments import positive


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


def add_batch_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--batch-size`; `batch_size` says what it comes to."""
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="windows computed at once (default: 1 on a CPU, otherwise 16 a device)",
    )


def batch_size(args: argparse.Namespace) -> int:
    """The windows that are to be computed at once."""
    return args.batch_size or (1 if jax.default_backend() == "cpu" else 16 * jax.local_device_count())


def add_compilation_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--compilation-cache`, for `compilation.keep_compiled`."""
    parser.add_argument(
        "--compilation-cache",
        metavar="DIR|off",
        help="folder of compiled programs, for later runs (default: v2s_jax/compiled in the user's cache folder)",
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
