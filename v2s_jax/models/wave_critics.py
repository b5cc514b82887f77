"""The two critics of V2A-WaveGAN (arXiv 2104.13332): one of the waveform, one of its power spectrogram.

Without norms, as the gradient penalty asks for verdicts on single rows. The paper's layers were not found: the first is
WaveGAN's (Donahue et al. 2019, arXiv 1802.04208: 25 taps, every fourth step), the second ours (3 x 3, every second).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from v2s_jax.features.spectrum import magnitudes

SLOPE = 0.2
_TAPS, _STRIDE = 25, 4
_WINDOW, _HOP = 512, 128  # samples: 32 ms every 8

SIZES = {
    "full": dict(wave=(32, 64, 128, 256, 512), power=(32, 64, 128, 256)),
    "small": dict(wave=(8, 16, 32, 64, 64), power=(8, 16, 32, 64)),
}


def default_config(size: str = "full") -> ConfigDict:
    """The channels of both critics."""
    return ConfigDict(SIZES[size])


def power(wave: Float[Array, "B n"]) -> Float[Array, "B frames bins"]:
    """What the power critic sees: the logarithm of the power spectrogram, a tenth of it: -1.8 is silence."""
    return jnp.log(magnitudes(wave, _WINDOW, _HOP)) / 5


class Critic(nnx.Module):
    """Strided convolutions with leaky ReLU over one axis or two, and the mean of a last linear verdict.

    Args:
        channels: of the convolutions.
        taps: along each axis.
        stride: likewise.
        dtype: of the convolutions.
        rngs: for the first weights.
    """

    def __init__(self, channels: tuple[int, ...], taps: tuple[int, ...], stride: int, dtype: DTypeLike, rngs: nnx.Rngs):
        widths = (1, *channels)
        self.convs = nnx.List(
            [
                nnx.Conv(before, after, taps, strides=stride, padding="SAME", dtype=dtype, rngs=rngs)
                for before, after in zip(widths[:-1], channels, strict=True)
            ]
        )
        self.verdict = nnx.Linear(channels[-1], 1, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "B ..."]) -> Float[Array, "B"]:
        """The verdict on each row, float32: high if it is real."""
        x = x[..., None]
        for conv in self.convs:
            x = jax.nn.leaky_relu(conv(x), SLOPE)
        return self.verdict(x).astype(jnp.float32).mean(tuple(range(1, x.ndim)))


class WaveCritics(nnx.Module):
    """Both critics.

    Args:
        config: see `default_config`.
        rngs: for the first weights.
        dtype: of the convolutions.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.wave = Critic(tuple(config.wave), (_TAPS,), _STRIDE, dtype, rngs)
        self.power = Critic(tuple(config.power), (3, 3), 2, dtype, rngs)
