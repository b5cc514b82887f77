"""Layer norm whose scale and shift say who speaks (AdaSpeech, Chen et al. 2021, arXiv 2103.00993, section 2.3)."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from v2s_jax.models.dit import plain_norm


class ConditionalLayerNorm(nnx.Module):
    """Layer norm with a scale and a shift that are linear in a condition; at first 1 and 0 whatever the condition.

    Args:
        width: of the frames.
        condition: width of the condition.
        rngs: for the initial weights.
    """

    def __init__(self, width: int, condition: int, rngs: nnx.Rngs):
        self.modulate = nnx.Linear(condition, 2 * width, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, x: Float[Array, "B T D"], condition: Float[Array, "B K"]) -> Float[Array, "B T D"]:
        """Normalises every frame, computed in float32 and given back in the frames' dtype.

        Args:
            x: frames.
            condition: of each row, such as a speaker embedding.
        """
        scale, shift = jnp.split(self.modulate(condition.astype(jnp.float32))[:, None], 2, axis=-1)
        return (plain_norm(x) * (1 + scale) + shift).astype(x.dtype)
