"""Command-line options that every command with a speaking model has."""

import argparse


def add_sampler_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--sampler`, a list of (name, value) as `args.sampler`."""
    parser.add_argument(
        "--sampler",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for models that sample, such as evaluations=10 or guidance=3; repeatable",
    )


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=NUMBER") from None
