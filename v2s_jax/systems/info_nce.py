"""InfoNCE between two views of the same clips, where clips of one speaker are no negatives of each other."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def info_nce(
    queries: Float[Array, "B D"], keys: Float[Array, "B D"], candidates: Bool[Array, "B B"], temperature: float
) -> Float[Array, ""]:
    """-log of the share that a row's own key has among its candidates (van den Oord et al. 2018, arXiv 1807.03748).

    Averaged over the rows that are candidates of themselves; the others, padding, do not count.

    Args:
        queries: of unit norm.
        keys: likewise.
        candidates: [i, j] says whether key j is compared with query i.
        temperature: what similarities are divided by.
    """
    logits = jnp.where(candidates, jnp.matmul(queries, keys.T, precision=jax.lax.Precision.HIGHEST) / temperature, -1e9)
    return masked_mean(jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits), jnp.diagonal(candidates))


def comparable(speaker: Int[Array, "B"], present: Bool[Array, "B"]) -> Bool[Array, "B B"]:
    """Each present row with itself and with those of other speakers."""
    other = speaker[:, None] != speaker[None]
    return (other | jnp.eye(len(speaker), dtype=bool)) & present[:, None] & present[None]


def retrieval(
    queries: Float[Array, "B D"], keys: Float[Array, "B D"], candidates: Bool[Array, "B B"]
) -> Float[Array, ""]:
    """Share of present rows whose own key is the nearest of its candidates."""
    similarities = jnp.where(candidates, queries @ keys.T, -jnp.inf)
    right = similarities.argmax(1) == jnp.arange(len(queries))
    return masked_mean(right.astype(jnp.float32), jnp.diagonal(candidates))


def masked_mean(values: Float[Array, "B"], present: Bool[Array, "B"]) -> Float[Array, ""]:
    """Of the rows that are there."""
    return jnp.sum(jnp.where(present, values, 0)) / jnp.maximum(present.sum(), 1)
