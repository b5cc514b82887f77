"""GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415) by the error function, as published encoders have it."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The input times the normal distribution's value there, in its dtype; exact to float32 rounding of 1.

    As PyTorch computes it. `jax.nn.gelu` keeps the digits of the smallest values of the left tail by `erfc`, at twice
    the time on a CPU.
    """
    wide = x.astype(jnp.float32)
    return (0.5 * wide * (1 + lax.erf(wide * np.float32(0.5**0.5)))).astype(x.dtype)
