"""DiffV2S's decoder (Choi, Hong and Ro 2023, arXiv 2308.07787, section 3.2): a transformer encoder over noisy mel.

Mel frames are stacked to the video's 25 Hz, so that a frame of mel and the condition of that frame (visual features
and speaker embedding) are joined along the channels. Of the paper: 8 layers, width 512, 4 heads. Not told there, and
ours: the feed-forward width, pre-norm, dropout, the positions (a convolution, as in the encoder whose features it
reads) and that the time is added to every frame.
"""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, N_MELS
from v2s_jax.models.remat import KEEP_ALL
from v2s_jax.models.time_embedding import TimeEmbedding
from v2s_jax.models.transformer import TransformerEncoder

SIZES = {
    "paper": dict(layers=8, width=512, heads=4, hidden=2048, conv_pos=31, conv_pos_groups=16),
    "small": dict(layers=4, width=256, heads=4, hidden=768, conv_pos=31, conv_pos_groups=16),
}


def default_config(size: str = "paper") -> ConfigDict:
    """Every number of the named size; `condition` is the width of what it is conditioned on."""
    rates = dict(dropout=0.1, attention_dropout=0.1, activation_dropout=0.0, layerdrop=0.0)
    fixed = dict(name="mel_transformer", channels=MEL_PER_FRAME * N_MELS, condition=1024)
    return ConfigDict(fixed | SIZES[size] | rates | dict(norm_first=True, scan=True, remat=KEEP_ALL))


class MelTransformer(nnx.Module):
    """Noisy mel, time and condition to a prediction.

    Args:
        config: see `default_config`.
        rngs: for the initial weights.
        dtype: of the computation; parameters and predictions are float32.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.join = nnx.Linear(config.channels + config.condition, config.width, dtype=dtype, rngs=rngs)
        self.time = TimeEmbedding(config.width, dtype, rngs)
        self.encoder = TransformerEncoder(config, dtype, rngs)
        self.out = nnx.Linear(config.width, config.channels, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x_t: Float[Array, "B T C"],
        time: Float[Array, "B"],
        condition: Float[Array, "B T K"],
        mask: Bool[Array, "B T"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B T C"]:
        """Predicts, for whatever process; frames where `mask` is False change nothing and what they get is meaningless.

        Args:
            x_t: noisy stacked mel.
            time: of each row, in [0, 1].
            condition: of each frame.
            mask: True where there is a frame; the others come last.
            rngs: a `dropout` stream when training, None otherwise.
        """
        x = self.join(jnp.concatenate([x_t, condition.astype(x_t.dtype)], axis=-1)) + self.time(time)[:, None]
        return self.out(self.encoder(x, mask, rngs=rngs)).astype(jnp.float32)
