"""`v2s-jax voices`: how well a face tells the voice, by the speaker embeddings of DiffV2S's prompts.

Every clip's embedding of what is seen (s_v), and of what is heard (s_a), is compared with the speaker encoder's
embeddings that `prepare tokens` has added: with its own clip's, and with the mean of every speaker's other clips. The
nearest of these names the speaker.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from v2s_jax.constants import SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.data.mixture import open_dataset
from v2s_jax.data.schema import Record
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.options import add_split_options, spread
from v2s_jax.evaluation.scoring import plain
from v2s_jax.features.filterbank import stacked_filterbank_jax
from v2s_jax.media.atomic import replacing
from v2s_jax.progress import progress
from v2s_jax.synthesis.buckets import ladder, padded_mouths, padded_sounds, rung
from v2s_jax.synthesis.pretrained import load_pretrained
from v2s_jax.systems.base import frame_mask

HELP = "how well faces tell voices: embeddings of what is seen beside those of a speaker encoder"
_MOST = 250  # frames of a clip that are looked at
_FIELDS = frozenset({"mouth", "audio", "speaker_embedding"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--model", required=True, metavar="NAME-OR-PATH", help="a diffv2s")
    parser.add_argument("--data", required=True, metavar="A,B", help="prepared data sets with speaker embeddings")
    add_split_options(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON, too")


def run(args: argparse.Namespace) -> int:
    """Prints the table."""
    _, system = load_pretrained(args.model)
    if not hasattr(system, "see"):
        raise V2SError(f"{args.model}: a model without an embedding of the voice it sees; name a diffv2s")
    dataset = open_dataset(args.data, args.split)
    indices = dataset.indices_with(_FIELDS)
    indices = indices[spread(len(indices), args.limit)]
    records = (dataset.read(int(index), _FIELDS) for index in progress(indices, len(indices), "clips"))
    figures = compare(list(embeddings(system, records)))
    print(table(figures))
    if args.out:
        with replacing(args.out) as file:
            file.write(json.dumps(plain(figures), indent=1, allow_nan=False).encode())
    return 0


class Voice(NamedTuple):
    """One clip's speaker and embeddings of unit norm."""

    speaker: str
    seen: Float[np.ndarray, "256"]
    heard: Float[np.ndarray, "256"]
    true: Float[np.ndarray, "256"]


def embeddings(system: Any, records: Iterator[Record]) -> Iterator[Voice]:
    """The embeddings of clips, of the first ten seconds of long ones."""
    graphdef, weights = nnx.split(system)
    rungs = ladder(_MOST)

    @jax.jit
    def embed(weights: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        module: Any = nnx.merge(graphdef, weights)
        length = batch.need("length")
        heard = stacked_filterbank_jax(batch.need("audio"), length)
        return module.see(batch).speaker, module.hear(heard, frame_mask(length, heard.shape[1]))

    for record in records:
        mouth = np.asarray(record.mouth)[:_MOST]
        frames = rung(len(mouth), rungs)
        sound = np.asarray(record.audio)[: SAMPLES_PER_FRAME * len(mouth)]
        seen, heard = embed(weights, padded_mouths([mouth], 1, frames, audio=padded_sounds([sound], 1, frames)))
        yield Voice(record.speaker, np.asarray(seen[0]), np.asarray(heard[0]), np.asarray(record.speaker_embedding))


def compare(voices: list[Voice]) -> dict[str, Any]:
    """Shares and mean cosines over clips; retrieval is by the means of speakers, a clip's own being left out.

    Returns:
        `clips`, `speakers`, and for `seen` and `heard`: `retrieval` (NaN for a single speaker), `own` and `other`,
        the cosine with the true embedding of the clip and the mean one with those of other speakers' clips.
    """
    names = sorted({voice.speaker for voice in voices})
    speaker = np.array([names.index(voice.speaker) for voice in voices])
    true = np.stack([voice.true for voice in voices])
    same = speaker[:, None] == speaker[None]
    figures: dict[str, Any] = {"clips": len(voices), "speakers": len(names)}
    for kind in ("seen", "heard"):
        cosines = np.stack([getattr(voice, kind) for voice in voices]) @ true.T
        right = [_named(cosines[row], true, speaker, row) == speaker[row] for row in range(len(voices))]
        figures[kind] = {
            "retrieval": float(np.mean(right)) if len(names) > 1 else float("nan"),
            "own": float(np.diagonal(cosines).mean()),
            "other": float(cosines[~same].mean()) if (~same).any() else float("nan"),
        }
    return figures


def _named(cosines: np.ndarray, true: np.ndarray, speaker: np.ndarray, row: int) -> int:
    """The speaker whose mean embedding, without the clip `row`, is nearest to what that clip's cosines are of."""
    counted = np.arange(len(speaker)) != row
    best, found = -np.inf, -1
    for candidate in np.unique(speaker[counted]):
        own = counted & (speaker == candidate)
        score = cosines[own].mean() / max(float(np.linalg.norm(true[own].mean(0))), 1e-9)
        if score > best:
            best, found = score, int(candidate)
    return found


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    count, speakers = figures["clips"], figures["speakers"]
    lines = [
        f"| {count} clips of {speakers} speakers | right speaker | cosine, own | cosine, others |",
        "|---|---|---|---|",
    ]
    for kind, title in (("seen", "by the face"), ("heard", "by the sound")):
        own = figures[kind]
        lines.append(f"| {title} | {100 * own['retrieval']:.1f} % | {own['own']:.3f} | {own['other']:.3f} |")
    return "\n".join([*lines, f"| by chance | {100 / speakers:.1f} % | - | - |"])
