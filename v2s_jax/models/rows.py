"""Rows of a batch stay on the devices that have them, layer after layer.

Models know no mesh: what compiles a step for one says so here, and layers ask for no more than this. Without it the
compiler is free to move activations to where parameters are split, and does where it takes that to be cheaper.
"""

import contextvars
import functools
import math
from collections.abc import Callable
from typing import Any

from jax import lax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

_ROWS: contextvars.ContextVar[NamedSharding | None] = contextvars.ContextVar("rows", default=None)


def in_rows(function: Callable, sharding: NamedSharding) -> Callable:
    """The function, for `jax.jit`: where it calls `keep_rows`, rows are split as those of a batch.

    Args:
        function: of arrays.
        sharding: of a batch, whose first dimension alone is split, over a tuple of axes.
    """

    @functools.wraps(function)
    def traced(*args: Any) -> Any:
        token = _ROWS.set(sharding)
        try:
            return function(*args)
        finally:
            _ROWS.reset(token)

    return traced


def keep_rows(x: Shaped[Array, "B ..."]) -> Shaped[Array, "B ..."]:
    """The activations, whose rows stay where the batch's are, if they can be split so.

    How other dimensions are split is the compiler's choice.
    """
    sharding = _ROWS.get()
    if sharding is None or sharding.mesh.size == 1:
        return x
    axes = sharding.spec[0]
    if len(x) % math.prod(sharding.mesh.shape[axis] for axis in axes):
        return x
    spec = PartitionSpec(axes, *[PartitionSpec.UNCONSTRAINED] * (x.ndim - 1))
    return lax.with_sharding_constraint(x, NamedSharding(sharding.mesh, spec))
