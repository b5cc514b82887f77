"""At which times to train."""

import jax
from jaxtyping import Array, Float, Key


def uniform_times(key: Key[Array, ""], rows: int) -> Float[Array, "N"]:
    """Independent, uniform in (0, 1]: diffusion's noise has no score at 0."""
    return 1 - jax.random.uniform(key, (rows,))


def stratified_times(key: Key[Array, ""], rows: int) -> Float[Array, "N"]:
    """Uniform in (0, 1], one in each of `rows` equal parts, in random order, so that a batch's loss varies less.

    The low-discrepancy sampler of Kingma et al. 2021, arXiv 2107.00630, with a shift for each row instead of one.
    """
    order, shift = jax.random.split(key)
    return (jax.random.permutation(order, rows) + uniform_times(shift, rows)) / rows


def discrete_times(key: Key[Array, ""], rows: int, steps: int) -> Float[Array, "N"]:
    """Uniform among the points 1/steps ... 1 of a process of discrete steps (Ho et al. 2020)."""
    return jax.random.randint(key, (rows,), 1, steps + 1) / steps


def logit_normal_times(key: Key[Array, ""], rows: int, mean: float = 0.0, std: float = 1.0) -> Float[Array, "N"]:
    """The sigmoid of a normal variable: mostly the middle of a flow (Esser et al. 2024, arXiv 2403.03206, 3.1)."""
    return jax.nn.sigmoid(mean + std * jax.random.normal(key, (rows,)))
