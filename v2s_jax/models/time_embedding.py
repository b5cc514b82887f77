"""How a denoiser knows the time: sinusoids (Vaswani et al. 2017; for diffusion Ho et al. 2020) and two dense layers."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from v2s_jax.models.constants import LONGEST, TIME_STEPS


def sinusoids(time: Float[Array, "B"], width: int) -> Float[Array, "B D"]:
    """Cosines, then sines, of geometrically spaced frequencies; float32, `width` even."""
    frequencies = jnp.exp(-math.log(LONGEST) * jnp.arange(width // 2) / (width // 2))
    angles = TIME_STEPS * time.astype(jnp.float32)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class TimeEmbedding(nnx.Module):
    """A vector for each time in [0, 1].

    Args:
        width: of the vector, even.
        dtype: of the computation.
        rngs: for the initial weights.
    """

    def __init__(self, width: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.width = width
        self.widen = nnx.Linear(width, width, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(width, width, dtype=dtype, rngs=rngs)

    def __call__(self, time: Float[Array, "B"]) -> Float[Array, "B D"]:
        """Embeds the times of a batch."""
        return self.out(jax.nn.silu(self.widen(sinusoids(time, self.width))))
