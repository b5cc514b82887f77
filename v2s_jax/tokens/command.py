"""`v2s-jax prepare tokens`: more fields for the records of a prepared data set."""

import argparse
import os
from pathlib import Path

from v2s_jax.data.tokens import add_tokens
from v2s_jax.tokens.taggers import TOKENS

HELP = "add tokens (embeddings of voices and faces, pitch, ...) to a prepared data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a prepared data set")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of the one to make")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="threads")
    for token in TOKENS:
        for flag, settings in token.options.items():
            parser.add_argument(flag, **settings)


def run(args: argparse.Namespace) -> int:
    """Adds the tokens asked for and says how many records have them."""
    made = [token.make(args) for token in TOKENS]
    print(add_tokens(args.data, args.out, [tagger for tagger in made if tagger is not None], max(1, args.jobs)))
    return 0
