"""HiFi-GAN's generator (Kong et al. 2020, arXiv 2010.05646): log-mel to waveform, any configuration of the original.

Settings and names are those of the original's config.json and state dict. Each stage stretches time by a transposed
convolution, halves the channels and averages a few residual blocks of different reach.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from v2s_jax.constants import N_MELS
from v2s_jax.models.ops1d import transposed_length
from v2s_jax.models.weight_norm import WeightNormConv, WeightNormConvTranspose

SLOPE = 0.1
LAST_SLOPE = 0.01  # the original forgot to name the slope before the last convolution, and published weights rely on it

SIZES = {
    "16k": dict(  # the paper's V1 with the stages of 16 kHz and hop 160
        resblock="1",
        upsample_rates=(5, 4, 4, 2),
        upsample_kernel_sizes=(11, 8, 8, 4),
        upsample_initial_channel=512,
        resblock_kernel_sizes=(3, 7, 11),
        resblock_dilation_sizes=((1, 3, 5), (1, 3, 5), (1, 3, 5)),
    ),
    "small": dict(  # blocks as in the paper's V3: wide and shallow does more in a second of a CPU than narrow and deep
        resblock="2",
        upsample_rates=(5, 4, 4, 2),
        upsample_kernel_sizes=(11, 8, 8, 4),
        upsample_initial_channel=256,
        resblock_kernel_sizes=(3, 5, 7),
        resblock_dilation_sizes=((1, 2), (2, 6), (3, 12)),
    ),
}


def default_config(size: str = "16k") -> ConfigDict:
    """Every number of the named size; names as in the original's config.json."""
    return ConfigDict(dict(name="hifigan", num_mels=N_MELS, **SIZES[size]))


def _hold(x: jax.Array, length: jax.Array | None) -> jax.Array:
    """Zeros beyond each row's length, as a clip of that length alone would find them there."""
    if length is None:
        return x
    return jnp.where((jnp.arange(x.shape[1])[None] < length[:, None])[..., None], x, 0)


class ResBlock(nnx.Module):
    """Dilated convolutions, each added to what it read; in kind "1" each is followed by a plain one.

    Args:
        kind: "1" or "2", of the paper's two.
        width: channels.
        taps: of all kernels.
        dilations: of the dilated convolutions.
        dtype: of the computation.
        rngs: for the first weights.
    """

    def __init__(self, kind: str, width: int, taps: int, dilations: tuple[int, ...], dtype: DTypeLike, rngs: nnx.Rngs):
        self.kind = kind
        dilated = [WeightNormConv(taps, width, width, dilation=d, dtype=dtype, rngs=rngs) for d in dilations]
        if kind == "1":
            self.convs1 = nnx.List(dilated)
            self.convs2 = nnx.List([WeightNormConv(taps, width, width, dtype=dtype, rngs=rngs) for _ in dilations])
        else:
            self.convs = nnx.List(dilated)

    def __call__(self, x: Float[Array, "B T C"], length: Int[Array, "B"] | None = None) -> Float[Array, "B T C"]:
        """The block, residuals included."""
        chains = zip(self.convs1, self.convs2, strict=True) if self.kind == "1" else ((conv,) for conv in self.convs)
        for chain in chains:
            y = x
            for conv in chain:
                y = _hold(conv(jax.nn.leaky_relu(y, SLOPE)), length)
            x = x + y
        return x


class Generator(nnx.Module):
    """Log-mel to waveform.

    Args:
        config: see `default_config`.
        rngs: for the first weights.
        dtype: of the computation; parameters and the waveform are float32.

    Raises:
        ValueError: settings that the original could not be built from either.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        rates, taps = tuple(config.upsample_rates), tuple(config.upsample_kernel_sizes)
        kernels, dilations = tuple(config.resblock_kernel_sizes), tuple(map(tuple, config.resblock_dilation_sizes))
        _check(config, rates, taps, kernels, dilations)
        self.hop, self.num_mels = math.prod(rates), config.num_mels
        width = config.upsample_initial_channel
        self.conv_pre = WeightNormConv(7, config.num_mels, width, dtype=dtype, rngs=rngs)
        ups, blocks = [], []
        for rate, size in zip(rates, taps, strict=True):
            ups.append(
                WeightNormConvTranspose(
                    size, width, width // 2, stride=rate, padding=(size - rate) // 2, dtype=dtype, rngs=rngs
                )
            )
            width //= 2
            for kernel, own in zip(kernels, dilations, strict=True):
                blocks.append(ResBlock(config.resblock, width, kernel, own, dtype, rngs))
        self.ups, self.resblocks = nnx.List(ups), nnx.List(blocks)
        self.conv_post = WeightNormConv(7, width, 1, dtype=dtype, rngs=rngs)

    def __call__(
        self, log_mel: Float[Array, "B M F"], lengths: Int[Array, "B"] | None = None
    ) -> Float[Array, "B samples"]:
        """The waveform.

        Args:
            log_mel: unscaled log-mel.
            lengths: valid frames of each row: what is computed of them is as if the rest were not there, and the
                rest is silent. All are valid if None.

        Returns:
            float32 in [-1, 1], hop * M samples. Where a kernel exceeds its rate by an odd number the original gives a
            few samples more at the end; they are cut off, those before are the same.

        Raises:
            ValueError: the mel has another number of bins, or its axes another order.
        """
        if log_mel.shape[-1] != self.num_mels:
            raise ValueError(f"log_mel is {log_mel.shape}, expected [batch, frames, {self.num_mels}]")
        x, _ = self.stages(log_mel, lengths)[-1]
        x = self.conv_post(jax.nn.leaky_relu(x, LAST_SLOPE))
        wave = jnp.tanh(x.astype(jnp.float32))[:, : self.hop * log_mel.shape[1]]
        return _hold(wave, None if lengths is None else self.hop * lengths)[..., 0]

    def stages(
        self, log_mel: Float[Array, "B M F"], lengths: Int[Array, "B"] | None = None
    ) -> list[tuple[jax.Array, jax.Array | None]]:
        """What the first convolution and every stage give, with the valid steps of each row."""
        x = _hold(self.conv_pre(_hold(log_mel, lengths)), lengths)
        found, per_stage = [(x, lengths)], len(self.resblocks) // len(self.ups)
        for index, up in enumerate(self.ups):
            if lengths is not None:
                lengths = jnp.asarray(transposed_length(lengths, up.weight_v.shape[0], up.stride, up.padding))
            x = _hold(up(jax.nn.leaky_relu(x, SLOPE)), lengths)
            first, *others = self.resblocks[index * per_stage : (index + 1) * per_stage]
            x = sum((block(x, lengths) for block in others), first(x, lengths)) / per_stage
            found.append((x, lengths))
        return found


def _check(config: ConfigDict, rates: tuple, taps: tuple, kernels: tuple, dilations: tuple) -> None:
    if config.resblock not in ("1", "2"):
        raise ValueError(f'resblock is {config.resblock!r}, expected "1" or "2"')
    if (
        not rates
        or len(rates) != len(taps)
        or any(not 1 <= rate <= size for rate, size in zip(rates, taps, strict=True))
    ):
        raise ValueError(f"upsample_kernel_sizes {taps} do not fit upsample_rates {rates}")
    if not kernels or len(kernels) != len(dilations) or any(size % 2 == 0 for size in kernels):
        raise ValueError(f"resblock_kernel_sizes {kernels} are not odd or do not fit their dilations {dilations}")
    if config.upsample_initial_channel % 2 ** len(rates):
        raise ValueError(
            f"upsample_initial_channel {config.upsample_initial_channel} cannot be halved {len(rates)} times"
        )
