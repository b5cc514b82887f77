"""Snake (Ziyin, Hartwig and Ueda 2020, arXiv 2006.08195) as BigVGAN has it (Lee et al. 2023, arXiv 2206.04658)."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

# Pi in two parts: multiples of the first are exact in float32 for a few hundred turns.
_PI = np.float32(3.140625), np.float32(np.pi - 3.140625)
_TAYLOR = [np.float32((-1) ** n / float(np.prod(np.arange(1.0, 2 * n + 2)))) for n in range(7)]  # of sin(r) / r in r^2


def sin_squared(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The square of the sine of angles of up to a few hundred turns, to about four float32 roundings; float32.

    XLA:CPU computes sines one by one: a polynomial after a reduction to half a turn is thirty times faster, and its
    gradient as exact.
    """
    x = x.astype(jnp.float32)
    turns = jnp.round(x * np.float32(1 / np.pi))
    rest = (x - turns * _PI[0]) - turns * _PI[1]
    square = rest * rest
    total = jnp.full_like(x, _TAYLOR[-1])
    for coefficient in _TAYLOR[-2::-1]:
        total = total * square + coefficient
    return square * total * total


class SnakeBeta(nnx.Module):
    """x + sin^2(a x) / b, the frequency a and the inverse height b of each channel being learned as logarithms.

    Args:
        width: channels.
    """

    def __init__(self, width: int):
        self.alpha, self.beta = nnx.Param(jnp.zeros(width)), nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Applies it to the last axis, in the dtype given."""
        frequency, height = jnp.exp(self.alpha[...])[None, None], jnp.exp(-self.beta[...])[None, None]
        return x + (height * sin_squared(frequency * x)).astype(x.dtype)
