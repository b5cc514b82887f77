"""Features of video frames to a waveform by transposed convolutions, as in V2A-WaveGAN (arXiv 2104.13332, 2307.16584).

Batch norm by modality and ReLU follow each of them, and tanh the last convolution. The papers' rates and widths were
not found; these are ours.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from v2s_jax.constants import SAMPLES_PER_FRAME
from v2s_jax.models.masked_conv import Conv1d
from v2s_jax.models.modality_norm import ModalityBatchNorm
from v2s_jax.models.ops1d import conv_transpose1d

_LAST_TAPS = 7

SIZES = {
    "full": dict(rates=(5, 4, 4, 4, 2), channels=(512, 256, 128, 64, 32)),
    "small": dict(rates=(5, 4, 4, 4, 2), channels=(128, 64, 32, 24, 16)),
}


def default_config(size: str = "full") -> ConfigDict:
    """`rates` of the stages, which multiply to a video frame's samples, and the `channels` that each gives."""
    return ConfigDict(SIZES[size])


class Stretch(nnx.Module):
    """A transposed convolution with exactly `rate` output steps an input step, then batch norm and ReLU."""

    def __init__(self, width_in: int, width: int, rate: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.rate, self.dtype = rate, dtype
        self.taps = 2 * rate + rate % 2  # so that as much is cut off on both sides
        init = nnx.initializers.variance_scaling(2.0 * rate, "fan_in", "normal")  # a step is reached by taps / rate
        self.kernel = nnx.Param(init(rngs.params(), (self.taps, width_in, width), jnp.float32))
        self.norm = ModalityBatchNorm(width, rngs)

    def __call__(self, x: Float[Array, "B T I"], mask: Bool[Array, "B T"], state: Int[Array, "B"]) -> jax.Array:
        """Steps [B, rate * T, O], meaningless where `mask`, repeated, is False."""
        kept = jnp.where(mask[..., None], x, 0).astype(self.dtype)
        y = conv_transpose1d(kept, self.kernel[...].astype(self.dtype), self.rate, (self.taps - self.rate) // 2)
        y = self.norm(y, mask=jnp.repeat(mask, self.rate, axis=1)[..., None], state=state)
        return jax.nn.relu(y).astype(self.dtype)


class WaveGenerator(nnx.Module):
    """Features to a waveform; what stands beyond a clip's end changes nothing before it.

    Args:
        config: as `default_config` gives it.
        width: of the features.
        rngs: for the first weights.
        dtype: of the convolutions; norms and the waveform are float32.

    Raises:
        ValueError: the rates do not lead from video frames to samples.
    """

    def __init__(self, config: ConfigDict, width: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        rates, channels = tuple(config.rates), tuple(config.channels)
        if math.prod(rates) != SAMPLES_PER_FRAME or len(rates) != len(channels):
            raise ValueError(
                f"system.generator has rates {rates} and channels {channels}: expected as many of both, the rates "
                f"multiplying to {SAMPLES_PER_FRAME}"
            )
        sizes = zip((width, *channels[:-1]), channels, rates, strict=True)
        self.stages = nnx.List([Stretch(before, after, rate, dtype, rngs) for before, after, rate in sizes])
        self.last = Conv1d(channels[-1], 1, _LAST_TAPS, 1, dtype, rngs)

    def __call__(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], state: Int[Array, "B"]
    ) -> Float[Array, "B samples"]:
        """The waveform in [-1, 1], float32, silent where there is no frame.

        Args:
            x: features of video frames.
            mask: True where there is one.
            state: of each row, see `modality_norm.py`.
        """
        for stage in self.stages:
            x = stage(x, mask, state)
            mask = jnp.repeat(mask, stage.rate, axis=1)
        wave = jnp.tanh(self.last(x, mask)[..., 0].astype(jnp.float32))
        return jnp.where(mask, wave, 0)
