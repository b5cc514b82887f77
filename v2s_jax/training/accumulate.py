"""Gradients of a batch taken in parts, one after the other, so that activations of one part alone are held.

What a part is: every so-manieth row (or group of neighbouring rows of one speaker), so that each device takes its part
of every part and no row moves. What changes against one big batch:

* loss, metrics and gradients are means over the parts, each counting alike: of losses that are means over valid frames
  a part of short clips counts as much as one of long ones;
* batch norms normalise by the statistics of a part, and their running averages move once for each part;
* losses that compare the rows of a batch with each other (InfoNCE, GE2E) see those of a part.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models.rows import keep_rows
from v2s_jax.training.paths import Tree

# (own parameters, statistics, batch, key) -> (loss, (metrics, statistics))
LossFn = Callable[[Tree, Tree, Batch, jax.Array], tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]]


def value_and_gradients(
    loss: LossFn, own: Tree, stats: Tree, batch: Batch, key: jax.Array, parts: int, group: int = 1
) -> tuple[jax.Array, dict[str, jax.Array], Tree, Tree]:
    """Loss, metrics, statistics and gradients of a batch taken in so many parts.

    Args:
        loss: of a part.
        own: what it is differentiated by.
        stats: handed from part to part.
        batch: the whole.
        key: of the step; with one part it is that of the loss, else folded with the part's number.
        parts: 1 takes the batch as it is.
        group: neighbouring rows that stay together.

    Raises:
        V2SError: the rows cannot be split so.
    """
    gradient = jax.value_and_grad(loss, has_aux=True)
    if parts == 1:
        (value, (metrics, stats)), gradients = gradient(own, stats, batch, key)
        return value, metrics, stats, gradients

    def take(carry: tuple[Tree, Tree], part: tuple[Batch, jax.Array]) -> tuple[tuple[Tree, Tree], Any]:
        stats, total = carry
        rows, number = jax.tree.map(keep_rows, part[0]), part[1]
        (value, (metrics, stats)), gradients = gradient(own, stats, rows, jax.random.fold_in(key, number))
        total = jax.tree.map(lambda a, b: a + b / parts, total, gradients)
        return (stats, total), (value, metrics)

    start = stats, jax.tree.map(jnp.zeros_like, own)
    inputs = split_rows(batch, parts, group), jnp.arange(parts)
    (stats, gradients), found = jax.lax.scan(take, start, inputs)
    value, metrics = jax.tree.map(lambda x: x.mean(0), found)
    return value, metrics, stats, gradients


def split_rows(batch: Batch, parts: int, group: int = 1) -> Batch:
    """Every field with an axis for the parts in front of its rows.

    Raises:
        V2SError: the rows cannot be split so.
    """
    rows = len(batch.length)
    if parts < 1 or rows % (parts * group):
        raise V2SError(
            f"train.accumulate is {parts}, which does not split a batch of {rows} rows"
            f"{f' in groups of {group}' if group > 1 else ''}: take a divisor"
        )

    def split(x: jax.Array) -> jax.Array:
        across = jnp.reshape(x, (rows // (parts * group), parts, group, *x.shape[1:]))
        return jnp.swapaxes(across, 0, 1).reshape(parts, rows // parts, *x.shape[1:])

    return jax.tree.map(split, batch)
