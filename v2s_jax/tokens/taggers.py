"""The table of tokens that `prepare tokens` can add: a new one is one line here and one function."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from v2s_jax.constants import SPEAKER_DIM
from v2s_jax.data.schema import Record
from v2s_jax.data.tokens import Tagger
from v2s_jax.errors import V2SError
from v2s_jax.features.pitch import energy, pitch
from v2s_jax.media.face_encoder import FaceEncoder
from v2s_jax.tokens import units


class Token(NamedTuple):
    """One kind of token.

    Attributes:
        options: of the command line, as `add_argument` takes them.
        make: from the parsed command line to the tagger; None where the token is not asked for.
    """

    options: Mapping[str, dict[str, Any]]
    make: Callable[[argparse.Namespace], Tagger | None]


def speaker_embedding(args: argparse.Namespace) -> Tagger | None:
    """The embedding of the whole recording by a GE2E encoder.

    Raises:
        V2SError: there is no such encoder, or its embeddings are of another length than a record's.
    """
    if args.speaker_encoder is None:
        return None
    from v2s_jax.synthesis.speaker_encoder import UtteranceEncoder  # the model stack, for this token alone

    encoder = UtteranceEncoder(args.speaker_encoder)
    if encoder.dim != SPEAKER_DIM:
        raise V2SError(f"{args.speaker_encoder}: gives embeddings of {encoder.dim} numbers; records hold {SPEAKER_DIM}")
    about = {"encoder": encoder.name, "weights": encoder.fingerprint}
    return Tagger("speaker_embedding", about, lambda record: encoder(_audio(record)))


def face_embedding(args: argparse.Namespace) -> Tagger | None:
    """Whose face it is, by dlib's network or an ArcFace-type model.

    Raises:
        V2SError: there is no such encoder, or it cannot be run.
    """
    if args.face_encoder is None:
        return None
    encoder = FaceEncoder(args.face_encoder)
    about = {"encoder": encoder.name, "weights": encoder.fingerprint}
    return Tagger("face_embedding", about, lambda record: encoder(np.asarray(record.face)), frozenset({"face"}))


def pitch_track(args: argparse.Namespace) -> Tagger | None:
    """F0 at 100 Hz, as `prepare` computes it."""
    about = {"method": "autocorrelation (Boersma 1993)"}
    return Tagger("pitch", about, lambda record: pitch(_audio(record))) if args.pitch else None


def energy_track(args: argparse.Namespace) -> Tagger | None:
    """Log energy at 100 Hz, as `prepare` computes it."""
    about = {"method": "log RMS of 40 ms"}
    return Tagger("energy", about, lambda record: energy(_audio(record))) if args.energy else None


def _audio(record: Record) -> np.ndarray:
    assert record.audio is not None  # a tagger's `needs`
    return record.audio


TOKENS: tuple[Token, ...] = (
    Token(
        {"--speaker-encoder": {"metavar": "MODEL", "help": "add speaker_embedding by this GE2E encoder"}},
        speaker_embedding,
    ),
    Token(
        {
            "--face-encoder": {
                "metavar": "NAME-OR-PATH",
                "help": "add face_embedding by dlib's network (dlib) or an ArcFace-type .onnx",
            }
        },
        face_embedding,
    ),
    Token({"--pitch": {"action": "store_true", "help": "add pitch (F0 at 100 Hz)"}}, pitch_track),
    Token({"--energy": {"action": "store_true", "help": "add energy (log RMS at 100 Hz)"}}, energy_track),
    Token(units.OPTIONS, units.units),
)
