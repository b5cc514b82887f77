"""HiFi-GAN's critics (Kong et al. 2020): a waveform folded by prime periods, and a waveform at three rates.

Every critic gives its verdict, one number for each place it looked at, and the feature maps on the way there, all but
the input, the last one being the verdict itself: what feature matching compares.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from v2s_jax.models.hifigan import SLOPE
from v2s_jax.models.ops1d import average_pool1d
from v2s_jax.models.weight_norm import SpectralNormConv, WeightNormConv

Verdict = tuple[jax.Array, list[jax.Array]]

_PERIOD_STRIDES = (3, 3, 3, 3, 1)
_SCALE_TAPS = (15, 41, 41, 41, 41, 41, 5)
_SCALE_STRIDES = (1, 2, 2, 4, 4, 1, 1)

SIZES = {
    "full": dict(
        period_channels=(32, 128, 512, 1024, 1024),
        scale_channels=(128, 128, 256, 512, 1024, 1024, 1024),
        scale_groups=(1, 4, 16, 16, 16, 16, 1),
    ),
    "small": dict(  # an eighth of the channels: together they cost about as much as the small generator
        period_channels=(8, 16, 64, 128, 128),
        scale_channels=(16, 16, 32, 64, 128, 128, 128),
        scale_groups=(1, 2, 4, 4, 4, 4, 1),
    ),
}


def default_config(size: str = "full") -> ConfigDict:
    """Every number of the named size that may differ from the paper's."""
    return ConfigDict(dict(periods=(2, 3, 5, 7, 11), scales=3, **SIZES[size]))


class PeriodCritic(nnx.Module):
    """Looks at every `period`-th sample, separately for each phase (the original's DiscriminatorP).

    Args:
        period: in samples.
        channels: of the five convolutions.
        dtype: of the computation.
        rngs: for the first weights.
    """

    def __init__(self, period: int, channels: tuple[int, ...], dtype: DTypeLike, rngs: nnx.Rngs):
        self.period = period
        widths = (1, *channels)
        self.convs = nnx.List(
            [
                WeightNormConv(5, before, after, stride=stride, padding=2, dtype=dtype, rngs=rngs)
                for before, after, stride in zip(widths[:-1], channels, _PERIOD_STRIDES, strict=True)
            ]
        )
        self.conv_post = WeightNormConv(3, widths[-1], 1, dtype=dtype, rngs=rngs)

    def __call__(self, wave: Float[Array, "B T"]) -> Verdict:
        """Verdict [B, places] and feature maps [B, period, steps, channels]."""
        batch, samples = wave.shape
        rest = -samples % self.period
        wave = jnp.pad(wave, ((0, 0), (0, rest)), mode="reflect")
        # The original's two-dimensional kernels are one phase wide, so the phases are rows of a batch.
        x = wave.reshape(batch, -1, self.period).transpose(0, 2, 1).reshape(batch * self.period, -1, 1)
        maps = []
        for conv in self.convs:
            x = jax.nn.leaky_relu(conv(x), SLOPE)
            maps.append(x)
        maps.append(self.conv_post(x))
        maps = [x.reshape(batch, self.period, *x.shape[1:]) for x in maps]
        return maps[-1][..., 0].transpose(0, 2, 1).reshape(batch, -1), maps


class ScaleCritic(nnx.Module):
    """Looks at a stretch of the waveform (the original's DiscriminatorS).

    Args:
        channels: of the seven convolutions.
        groups: likewise.
        spectral: spectral norm instead of weight norm.
        dtype: of the computation.
        rngs: for the first weights.
    """

    def __init__(
        self, channels: tuple[int, ...], groups: tuple[int, ...], spectral: bool, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        conv = SpectralNormConv if spectral else WeightNormConv
        widths = (1, *channels)
        sizes = zip(_SCALE_TAPS, widths[:-1], channels, _SCALE_STRIDES, groups, strict=True)
        self.convs = nnx.List(
            [
                conv(taps, before, after, stride=stride, groups=split, dtype=dtype, rngs=rngs)
                for taps, before, after, stride, split in sizes
            ]
        )
        self.conv_post = conv(3, widths[-1], 1, dtype=dtype, rngs=rngs)

    def __call__(self, wave: Float[Array, "B T"]) -> Verdict:
        """Verdict [B, places] and feature maps [B, steps, channels]."""
        x = wave[..., None]
        maps = []
        for conv in self.convs:
            x = jax.nn.leaky_relu(conv(x), SLOPE)
            maps.append(x)
        maps.append(self.conv_post(x))
        return maps[-1][..., 0], maps


class Critics(nnx.Module):
    """All period and scale critics; of the latter, only the first, at full rate, has spectral norm.

    Args:
        config: see `default_config`.
        rngs: for the first weights.
        dtype: of the computation; verdicts and feature maps have it.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        channels, groups = tuple(config.scale_channels), tuple(config.scale_groups)
        self.periods = nnx.List(
            [PeriodCritic(period, tuple(config.period_channels), dtype, rngs) for period in config.periods]
        )
        self.scales = nnx.List(
            [ScaleCritic(channels, groups, index == 0, dtype, rngs) for index in range(config.scales)]
        )

    def __call__(self, wave: Float[Array, "B T"]) -> list[Verdict]:
        """Verdict and feature maps of every critic, periods first."""
        verdicts = [critic(wave) for critic in self.periods]
        for index, critic in enumerate(self.scales):
            wave = average_pool1d(wave) if index else wave
            verdicts.append(critic(wave))
        return verdicts
