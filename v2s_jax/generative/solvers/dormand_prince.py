"""Dormand and Prince's adaptive method of order 5(4) (1980): the reference for solvers of fixed step, and likelihoods.

One step size serves the whole batch, the one that its worst entry needs, so a row's result depends on the others within
the tolerance; sampling that must not, uses a grid (`sampling.py`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int

_NODES = np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1], np.float32)
_STAGES = np.zeros((7, 7), np.float32)
_STAGES[1, :1] = [1 / 5]
_STAGES[2, :2] = [3 / 40, 9 / 40]
_STAGES[3, :3] = [44 / 45, -56 / 15, 32 / 9]
_STAGES[4, :4] = [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729]
_STAGES[5, :5] = [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656]
_STAGES[6, :6] = [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]  # also the result, so its end is evaluated
_FOURTH = np.array([5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40], np.float32)
_SAFETY, _SHRINK, _GROW, _FIRST = 0.9, 0.2, 10.0, 0.01


def integrate(
    field: Callable[[Any, jax.Array], Any],
    y: Any,
    start: float,
    end: float,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
) -> tuple[Any, Int[Array, ""]]:
    """What y is at `end`, and how often the field was evaluated; NaN if `max_steps` did not do.

    Args:
        field: of (y, t []), dy/dt, a pytree like y.
        y: at `start`, a pytree of float arrays; computed in float32.
        start: where from.
        end: where to, in either direction.
        rtol: allowed error of a step in each entry, relative to it.
        atol: allowed error beside that.
        max_steps: bound of the work; refused steps count.
    """
    flat, restore = ravel_pytree(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), y))
    length = end - start

    def slope(u: jax.Array, flat: jax.Array) -> jax.Array:
        return length * ravel_pytree(field(restore(flat), start + length * u))[0]

    def unfinished(state: tuple) -> jax.Array:
        u, _, _, _, steps = state
        return (u < 1) & (steps < max_steps)

    def step(state: tuple) -> tuple:
        u, h, flat, first, steps = state
        h = jnp.minimum(h, 1 - u)

        def stage(i: jax.Array, slopes: jax.Array) -> jax.Array:
            moved = flat + h * (jnp.asarray(_STAGES)[i] @ slopes)
            return slopes.at[i].set(slope(u + h * jnp.asarray(_NODES)[i], moved))

        slopes = jax.lax.fori_loop(1, 7, stage, jnp.zeros((7, flat.size)).at[0].set(first))
        moved = flat + h * (_STAGES[6] @ slopes)
        allowed = atol + rtol * jnp.maximum(jnp.abs(flat), jnp.abs(moved))
        error = jnp.max(jnp.abs(h * ((_STAGES[6] - _FOURTH) @ slopes)) / allowed)
        good = error <= 1
        factor = jnp.clip(_SAFETY * jnp.maximum(error, 1e-10) ** -0.2, _SHRINK, _GROW)
        u_next = jnp.where(h >= 1 - u, 1.0, u + h)
        kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), (u_next, moved, slopes[6]), (u, flat, first))
        return kept[0], h * factor, kept[1], kept[2], steps + 1

    state = (jnp.array(0.0), jnp.array(_FIRST), flat, slope(jnp.array(0.0), flat), jnp.array(0))
    u, _, flat, _, steps = jax.lax.while_loop(unfinished, step, state)
    return restore(jnp.where(u < 1, jnp.nan, flat)), 1 + 6 * steps
