"""Group norm (Wu and He 2018, arXiv 1803.08494) over the frames that a clip has, and no others."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float

_EPSILON = 1e-5


class MaskedGroupNorm(nnx.Module):
    """Each clip's groups of channels with mean 0 and variance 1 over its valid frames, then a scale and a shift.

    Args:
        width: channels.
        groups: they are split into.

    Raises:
        ValueError: the channels cannot be split so.
    """

    def __init__(self, width: int, groups: int):
        if width % groups:
            raise ValueError(f"width {width} is no multiple of {groups} groups")
        self.groups = groups
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"]) -> Float[Array, "B T D"]:
        """In float32; what frames get where `mask` is False is meaningless but finite, a clip of no frames included."""
        x = x.astype(jnp.float32)
        count = jnp.maximum(mask.sum(1), 1)[:, None, None] * (x.shape[-1] // self.groups)

        def mean(x: Float[Array, "B T D"]) -> Float[Array, "B 1 D"]:
            total = jnp.where(mask[..., None], x, 0).sum(1).reshape(x.shape[0], self.groups, -1)
            return jnp.repeat(total.sum(-1, keepdims=True) / count, total.shape[-1], axis=1).swapaxes(1, 2)

        x = x - mean(x)
        x = x * lax.rsqrt(mean(x * x) + _EPSILON)
        return x * self.scale[...][None, None] + self.bias[...][None, None]
