"""The speaker encoder that a name or path stands for: shipped, imported, published, exported or in training."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from v2s_jax.errors import V2SError
from v2s_jax.interop.speaker import load_speaker_encoder
from v2s_jax.models.folder import flat_weights, read_model
from v2s_jax.models.settings import section_of
from v2s_jax.models.speaker import SpeakerEncoder
from v2s_jax.synthesis.pretrained import is_workdir, load_pretrained, locate

DEFAULT_ENCODER = "voices-ge2e"  # ships with the package


class UtteranceEncoder:
    """An encoder of utterances. Calls from several threads are safe.

    Args:
        name_or_path: a shipped name, a folder (imported or exported), the workdir of a ge2e training, or a published
            file.

    Attributes:
        name: the last part of the path.
        fingerprint: changes with any weight.
        dim: length of the embeddings.

    Raises:
        V2SError: there is no such encoder, or it is damaged or hostile.
    """

    def __init__(self, name_or_path: str | os.PathLike):
        self._encoder = _find(name_or_path)
        self.name = Path(name_or_path).name
        self.dim = self._encoder.linear.kernel.shape[1]
        digest = hashlib.sha256()
        for path, value in sorted(flat_weights(self._encoder).items()):
            digest.update(path.encode() + np.asarray(value).tobytes())
        self.fingerprint = digest.hexdigest()[:12]

    def __call__(self, wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "D"]:
        """The unit vector of a waveform in [-1, 1] at 16 kHz."""
        return self._encoder.embed_utterance(wave)


def _find(name_or_path: str | os.PathLike) -> SpeakerEncoder:
    if Path(name_or_path).is_file():
        return load_speaker_encoder(name_or_path)[0].module
    folder = locate(name_or_path)
    found: Any
    if not is_workdir(folder) and section_of(folder) == "model":
        found = read_model(folder)[2]
    else:
        found = getattr(load_pretrained(folder)[1], "encoder", None)
    if not isinstance(found, SpeakerEncoder):
        raise V2SError(f"{name_or_path}: holds no speaker encoder; expected one imported, exported or in training")
    return found
