"""Whose voice a model is to speak in, other than the one that the clip's own face suggests."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from v2s_jax.data.corpus import SOUND_SUFFIXES
from v2s_jax.media.audio import read_wav
from v2s_jax.media.clip import load_clip
from v2s_jax.media.face_encoder import FaceEncoder
from v2s_jax.synthesis.network import Face
from v2s_jax.synthesis.speaker_encoder import UtteranceEncoder


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
        return Voice(speaker=UtteranceEncoder(speaker_encoder)(read_wav(path)))
    return Voice(identity=face_encoder()(load_clip(path, audio=False).faces))
