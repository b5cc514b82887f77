"""What several commands' options have in common."""

import argparse


def positive(text: str) -> int:
    """A whole number of 1 or more, as `type` of an option."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
