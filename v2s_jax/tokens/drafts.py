"""`v2s-jax prepare drafts`: speech that a model makes of every clip of a data set, for another to listen to."""

import argparse
import os
from pathlib import Path

import numpy as np

from v2s_jax.arguments import positive
from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.schema import ARRAYS
from v2s_jax.data.tokens import Tagger, add_tokens
from v2s_jax.errors import V2SError
from v2s_jax.synthesis.options import add_batch_option, add_sampler_option, batch_size
from v2s_jax.synthesis.synthesizer import Synthesizer

HELP = "speak every split of a prepared data set and add the log-mels (draft) to its records"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a prepared data set")
    parser.add_argument(
        "--model", required=True, metavar="NAME-OR-PATH", help="shipped name, exported folder or training workdir"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of the one to make")
    add_sampler_option(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of models that sample (default: 0)")
    add_batch_option(parser)
    parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, metavar="N", help="threads")


def run(args: argparse.Namespace) -> int:
    """Adds the drafts and says how many records have one.

    Raises:
        V2SError: the model, the data set or the folder cannot be used.
    """
    rows = batch_size(args)
    synthesizer = Synthesizer.from_pretrained(args.model, rows, args.seed, sampler=dict(args.sampler))
    if "draft" in synthesizer.network.fields:
        raise V2SError(f"{args.model}: this model listens to drafts and makes none; name the one that is to make them")
    name = Path(args.model).resolve().name if os.path.isdir(args.model) else args.model
    print(add_tokens(args.data, args.out, [tagger(synthesizer, name, args.data)], args.jobs, rows))
    return 0


def tagger(synthesizer: Synthesizer, name: str, data: Path) -> Tagger:
    """What makes the drafts.

    Args:
        synthesizer: of the model.
        name: of the model, for the data set's recipe.
        data: the data set, whose face embeddings are taken where all splits have them.

    Raises:
        V2SError: there is no such data set.
    """
    fields = synthesizer.network.fields & ARRAYS
    splits = read_metadata(data).splits.values()
    if "face_embedding" in fields and not all(split.fields.get("face_embedding") for split in splits):
        fields = fields - {"face_embedding"} | {"face"}  # that it is computed of
    about = {"model": name, "fingerprint": synthesizer.fingerprint(), "sampler": dict(synthesizer.network.knobs)}

    def drafts(records):
        return [mel.astype(np.float16) for mel in synthesizer.mels(records)] if records else []

    return Tagger("draft", about, lambda record: drafts([record])[0], frozenset(fields | {"mouth"}), drafts)
