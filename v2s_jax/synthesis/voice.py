"""Whose voice a model is to speak in, other than the one that the clip's own face suggests."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.data.corpus import SOUND_SUFFIXES
from v2s_jax.errors import V2SError
from v2s_jax.media.audio import read_wav
from v2s_jax.media.clip import load_clip
from v2s_jax.media.face_encoder import FaceEncoder
from v2s_jax.synthesis.network import Face
from v2s_jax.synthesis.speaker_encoder import UtteranceEncoder

_LEAST_SECONDS = 0.5
_SILENCE = 1e-3  # of full scale


class Voice(NamedTuple):
    """One of the two.

    Attributes:
        speaker: embedding of a recording, of unit norm.
        identity: embedding of a face, of unit norm.
    """

    speaker: Float[np.ndarray, "256"] | None = None
    identity: Float[np.ndarray, "D"] | None = None

    def given_to(self, face: Face) -> Face:
        """The clip's face with this voice in place of its own."""
        if self.speaker is None:
            return face._replace(identity=self.identity)
        return face._replace(voice=self.speaker, speaker=self.speaker)


def _heard(path: str | os.PathLike) -> Float[np.ndarray, "n"]:
    """A recording of a voice.

    Raises:
        V2SError: it cannot be read, or nobody is to be heard.
    """
    wave = read_wav(path)
    if len(wave) < _LEAST_SECONDS * SAMPLE_RATE or not np.isfinite(wave).all() or np.abs(wave).max() < _SILENCE:
        seconds = len(wave) / SAMPLE_RATE
        raise V2SError(f"{path}: no voice to be heard in {seconds:.2f} s; record {_LEAST_SECONDS} s of speech or more")
    return wave


def voice_of(path: str | os.PathLike, speaker_encoder: str, face_encoder: Callable[[], FaceEncoder]) -> Voice:
    """The voice of a recording, or the face of a clip.

    Args:
        path: a sound file, by its suffix, or a video.
        speaker_encoder: name or path of the one that the model was trained with.
        face_encoder: gives the one that the model was trained with.

    Raises:
        V2SError: the file cannot be used, or there is no such encoder.
    """
    if Path(path).suffix.lower() in SOUND_SUFFIXES:
        return Voice(speaker=UtteranceEncoder(speaker_encoder)(_heard(path)))
    return Voice(identity=face_encoder()(load_clip(path, audio=False).faces))
