"""AV2A-MelSpec (Kefalas, Panagakis and Pantic 2023, arXiv 2307.16584): speech from video and a draft, as log-mels.

With the procedure "video" it is its V2A, V2A-MelSpec: SVTS with batch norms of their own for every modality. Losses are
SVTS's, as the paper's weights were NOT FOUND. See `audio_visual.py` for the procedures.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, N_MELS, SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.filters import scale_mel
from v2s_jax.features.mel import log_mel_of_clips
from v2s_jax.systems import audio_visual, svts
from v2s_jax.systems.base import Metrics, Rules, spoken_mel
from v2s_jax.systems.regression import MelRegressor


def default_config(size: str = "S", procedure: str = "dropout_true") -> ConfigDict:
    """The `system` section; `size` is one of `svts.SIZES`, `procedure` as of `grow`."""
    return grow(svts.default_config(size), procedure)


def grow(v2a: ConfigDict, procedure: str = "dropout_true") -> ConfigDict:
    """The `system` section of an AV2A-MelSpec with the sizes and losses of a V2A; see `audio_visual.grow`."""
    return audio_visual.grow(v2a, "av2a", procedure)


class AV2A(audio_visual.AudioVisual, MelRegressor):
    """Video, a draft or both (and, if the config says so, a speaker embedding) to log-mel."""

    kind = "mel"

    def speak(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], state: Int[Array, "B"]
    ) -> Float[Array, "B M 80"]:
        """Scaled log-mel."""
        return self.mel(x)

    def hear(self, speech: Float[Array, "B M 80"], length: Int[Array, "B"]) -> Float[Array, "B M 80"]:
        """The same."""
        return speech

    def silence(self, mask: Bool[Array, "B T"]) -> Float[Array, "B M 80"]:
        """The floor of scaled log-mels."""
        return jnp.full((mask.shape[0], MEL_PER_FRAME * mask.shape[1], N_MELS), -1.0)

    def take(self, draft: jax.Array, length: Int[Array, "B"]) -> Float[Array, "B M 80"]:
        """The scaled log-mel of a mel or a waveform."""
        mel = draft if self.base.kind == "mel" else log_mel_of_clips(draft, SAMPLES_PER_FRAME * length)
        return jnp.asarray(scale_mel(mel))

    def finish(self, speech: Float[Array, "B M 80"], length: Int[Array, "B"]) -> Float[Array, "B M 80"]:
        """Unscaled log-mel, the floor beyond each clip's length."""
        return spoken_mel(speech, length)

    def loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """That of `MelRegressor.compare`, of clips in one modality or both, as the procedure says."""
        reading = self.read(batch, rngs)
        return self.compare(reading.x, reading.recorded, reading.batch)

    def stages(self) -> dict[str, Rules]:
        """One stage, in which everything trains but the base."""
        return {"train": [("(?!base/).*", "train"), ("base/.*", "frozen")]}
