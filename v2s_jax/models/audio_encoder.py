"""Mel frames to one vector a video frame: a small stack of convolutions, exact where clips are padded."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from v2s_jax.constants import MEL_PER_FRAME, N_MELS
from v2s_jax.models.conformer import layer_norm
from v2s_jax.models.masked_conv import Conv1d

HALVINGS = 2  # of the rate, from 100 Hz to 25
TAPS = 4  # of the convolutions that halve it, so that outputs lie in the middle of their inputs
assert 2**HALVINGS == MEL_PER_FRAME


class ResidualBlock(nnx.Module):
    """Twice norm, swish, convolution, and the input."""

    def __init__(self, width: int, taps: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.norm1, self.norm2 = layer_norm(width, rngs), layer_norm(width, rngs)
        self.conv1, self.conv2 = (Conv1d(width, width, taps, 1, dtype, rngs) for _ in range(2))

    def __call__(self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"]) -> Float[Array, "B T D"]:
        """One block; what stands where `mask` is False is meaningless."""
        y = self.conv1(jax.nn.swish(self.norm1(x)), mask)
        return x + self.conv2(jax.nn.swish(self.norm2(y)), mask)


class AudioEncoder(nnx.Module):
    """Two convolutions that halve the rate, then residual blocks, then a norm. Norms are those of single frames.

    Args:
        width: of the vectors.
        blocks: residual ones.
        taps: of their convolutions, odd.
        dtype: of the computation; norms are in float32.
        rngs: for the initial weights.

    Raises:
        ValueError: the number of taps is even.
    """

    def __init__(self, width: int, blocks: int, taps: int, dtype: DTypeLike, rngs: nnx.Rngs):
        if taps % 2 == 0:
            raise ValueError(f"system.audio_encoder.taps is {taps}: expected an odd number")
        self.width = width
        self.halve1 = Conv1d(N_MELS, width, TAPS, 2, dtype, rngs)
        self.halve2 = Conv1d(width, width, TAPS, 2, dtype, rngs)
        self.blocks = nnx.List([ResidualBlock(width, taps, dtype, rngs) for _ in range(blocks)])
        self.norm = layer_norm(width, rngs)

    def __call__(self, mel: Float[Array, "B M 80"], mask: Bool[Array, "B T"]) -> Float[Array, "B T D"]:
        """Encodes scaled log-mels.

        Args:
            mel: four frames to a video frame.
            mask: True where there is a video frame.

        Returns:
            A vector a video frame, float32; 0 where there is none.
        """
        quarters, halves = (jnp.repeat(mask, times, axis=1) for times in (MEL_PER_FRAME, MEL_PER_FRAME // 2))
        x = jax.nn.swish(self.halve1(mel, quarters))
        x = self.halve2(x, halves)
        for block in self.blocks:
            x = block(x, mask)
        return jnp.where(mask[..., None], self.norm(x), 0)
