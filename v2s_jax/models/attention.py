"""The two products of attention, in the order of axes in which every platform is quick."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


def similarities(query: Float[Array, "B T H d"], keys: Float[Array, "#B S H d"]) -> Float[Array, "B H T S"]:
    """Inner products of every query with every key, float32, not scaled."""
    query, keys = (x.transpose(0, 2, 1, 3) for x in (query, keys))
    return jnp.matmul(query, keys.swapaxes(-1, -2), preferred_element_type=jnp.float32)


def read(
    scores: Float[Array, "B H T S"],
    values: Float[Array, "B S H d"],
    mask: Bool[Array, "B S"],
    dropout: Callable[[jax.Array], jax.Array],
) -> Float[Array, "B T H d"]:
    """Means of the values, weighted by the softmax of the scores, in the values' dtype.

    The softmax divides after the product and not before it: there are fewer numbers to divide.

    Args:
        scores: scaled.
        values: what is read.
        mask: where there is something to read.
        dropout: applied to the weights.
    """
    scores = jnp.where(mask[:, None, None], scores.astype(jnp.float32), jnp.finfo(jnp.float32).min)
    weights = jnp.exp(scores - lax.stop_gradient(scores.max(-1, keepdims=True)))
    found = jnp.matmul(dropout(weights.astype(values.dtype)), values.transpose(0, 2, 1, 3))
    return (found / weights.sum(-1, keepdims=True).astype(found.dtype)).transpose(0, 2, 1, 3)
