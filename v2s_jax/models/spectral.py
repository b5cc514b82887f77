"""A small vocoder of known parts: a network gives spectral magnitudes, Griffin-Lim's iterations give the phases.

Tacotron spoke this way (Wang et al. 2017, arXiv 1703.10135: a post-processing net from mel to linear frequency). Here
the network is one of ConvNeXt blocks over time (Liu et al. 2022, arXiv 2201.03545; over mel frames as in Siuzdak 2023,
arXiv 2306.00814) and learns by regression alone.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from v2s_jax.constants import HOP_LENGTH, LOG_FLOOR, N_FFT, N_MELS
from v2s_jax.features.filters import scale_mel, spreading
from v2s_jax.features.mel_inversion import invert_mel
from v2s_jax.models import ops, ops1d
from v2s_jax.models.conformer import layer_norm

BINS = N_FFT // 2 + 1
_LAYER_SCALE = 0.2  # of a block's first contribution: with few blocks ConvNeXt's 1e-6 only delays
_FLOOR = float(np.exp(LOG_FLOOR))


def default_config() -> ConfigDict:
    """Every number of the vocoder."""
    return ConfigDict(
        dict(
            name="spectral",
            num_mels=N_MELS,
            width=256,
            hidden=768,
            blocks=6,
            kernel_size=7,
            iterations=24,
            rho=0.2,  # of the iterations, see `invert_mel`
            freedom=0.5,  # how far the iterations may leave the network's magnitudes, see `invert_mel`
        )
    )


def _hold(x: jax.Array, valid: jax.Array | None) -> jax.Array:
    return x if valid is None else jnp.where(valid, x, 0)


class Block(nnx.Module):
    """Depthwise convolution over time, norm, widen, GELU, narrow, plus the input."""

    def __init__(self, width: int, hidden: int, kernel_size: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype = dtype
        init = nnx.initializers.variance_scaling(1.0, "fan_in", "normal", in_axis=0, out_axis=())
        self.depthwise = nnx.Param(init(rngs.params(), (kernel_size, width), jnp.float32))
        self.norm = layer_norm(width, rngs)
        self.widen = nnx.Linear(width, hidden, dtype=dtype, rngs=rngs)
        self.narrow = nnx.Linear(hidden, width, dtype=dtype, rngs=rngs)
        self.layer_scale = nnx.Param(jnp.full((width,), _LAYER_SCALE))

    def __call__(self, x: Float[Array, "B M D"], valid: Bool[Array, "B M 1"] | None) -> Float[Array, "B M D"]:
        """The block, residual included; frames where `valid` is False are read by nobody."""
        y = self.norm(ops.depthwise_conv1d(_hold(x, valid), self.depthwise[...].astype(self.dtype))).astype(self.dtype)
        y = self.narrow(jax.nn.gelu(self.widen(y)))
        return x + self.layer_scale[...].astype(self.dtype)[None, None] * y


class SpectralVocoder(nnx.Module):
    """Log-mel to waveform.

    Args:
        config: see `default_config`.
        rngs: for the first weights.
        dtype: of the network; parameters, iterations and waveform are float32.

    Raises:
        ValueError: an even `kernel_size`, or another mel than this project's.

    Attributes:
        hop: samples to a mel frame.
        num_mels: bins of a mel frame.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        if config.kernel_size % 2 == 0 or config.num_mels != N_MELS:
            raise ValueError(f"kernel_size {config.kernel_size} must be odd and num_mels {config.num_mels} {N_MELS}")
        self.hop, self.num_mels, self.dtype, self.kernel_size = HOP_LENGTH, N_MELS, dtype, config.kernel_size
        self.iterations, self.rho, self.freedom = config.iterations, config.rho, config.freedom
        init = nnx.initializers.lecun_normal(in_axis=(0, 1))
        self.embed = nnx.Param(init(rngs.params(), (config.kernel_size, N_MELS, config.width), jnp.float32))
        self.embed_bias = nnx.Param(jnp.zeros(config.width))
        sizes = config.width, config.hidden, config.kernel_size
        self.blocks = nnx.List([Block(*sizes, dtype, rngs) for _ in range(config.blocks)])
        small = nnx.initializers.variance_scaling(0.01, "fan_in", "normal")
        self.head = nnx.Linear(config.width, BINS, kernel_init=small, dtype=dtype, rngs=rngs)

    def __call__(
        self, log_mel: Float[Array, "B M F"], lengths: Int[Array, "B"] | None = None
    ) -> Float[Array, "B samples"]:
        """The waveform.

        Args:
            log_mel: unscaled log-mel.
            lengths: valid frames of each row: what is computed of them is as if the rest were not there, and the
                rest is silent. All are valid if None.

        Returns:
            float32, 160 * M samples, not bounded.

        Raises:
            ValueError: the mel has another number of bins, or its axes another order.
        """
        magnitude = jnp.exp(self.log_magnitude(log_mel, lengths))
        return invert_mel(log_mel, magnitude, lengths, self.iterations, self.rho, self.freedom)

    def log_magnitude(
        self, log_mel: Float[Array, "B M F"], lengths: Int[Array, "B"] | None = None
    ) -> Float[Array, "B M 321"]:
        """Natural logarithm of the magnitudes of the spectrum, with the arguments and errors of a call."""
        if log_mel.shape[-1] != self.num_mels:
            raise ValueError(f"log_mel is {log_mel.shape}, expected [batch, frames, {self.num_mels}]")
        frames = jnp.arange(log_mel.shape[1])[None]
        valid = None if lengths is None else (frames < lengths[:, None])[..., None]

        x = _hold(jnp.asarray(scale_mel(log_mel)), valid).astype(self.dtype)
        x = ops1d.conv1d(x, self.embed[...].astype(self.dtype), padding=self.kernel_size // 2)
        x = x + self.embed_bias[...].astype(self.dtype)[None, None]
        for block in self.blocks:
            x = block(x, valid)
        smooth = jnp.exp(log_mel.astype(jnp.float32)) @ spreading()
        return jnp.log(jnp.maximum(smooth, _FLOOR)) + self.head(x).astype(jnp.float32)
