"""A convolution over time that padding does not reach."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from v2s_jax.models.ops1d import conv1d


class Conv1d(nnx.Module):
    """A convolution over time that keeps the number of steps, or halves it; steps without a frame count as zero."""

    def __init__(self, width_in: int, width: int, taps: int, stride: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.stride, self.dtype = stride, dtype
        init = nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (taps, width_in, width), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "B T I"], mask: Bool[Array, "B T"]) -> Float[Array, "B t O"]:
        """Convolves what lies where `mask` is True."""
        taps = len(self.kernel[...])
        kept = jnp.where(mask[..., None], x, 0).astype(self.dtype)
        y = conv1d(kept, self.kernel[...].astype(self.dtype), self.stride, (taps - self.stride + 1) // 2)
        return y + self.bias[...].astype(self.dtype)[None, None]
