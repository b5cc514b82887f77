"""The rows of a batch over all devices of this process; each computes its own as if there were no others."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from v2s_jax.models.compiling import compiler_options

_ROWS = "rows"


def whole_rows(rows: int) -> int:
    """The next number of rows that all devices have equal shares of."""
    devices = jax.local_device_count()
    return -(-rows // devices) * devices


def over_devices(function: Callable, by_row: Sequence[bool]) -> Any:
    """A jitted function whose result has rows, computed where they lie; on one device simply jitted.

    No device waits for another, whatever loops they are in. A CPU takes one row after the other: it is no slower so,
    and what becomes of a row is the same to the bit whatever it shares a batch with.

    Args:
        function: of arrays or trees of them.
        by_row: for each argument whether it has rows; the others are the same everywhere.
    """
    if jax.default_backend() == "cpu":
        function = _row_by_row(function, by_row)
    if jax.local_device_count() == 1:
        return jax.jit(function, compiler_options=compiler_options())
    specs = tuple(PartitionSpec(_ROWS) if rows else PartitionSpec() for rows in by_row)
    mapped = jax.shard_map(function, mesh=_mesh(), in_specs=specs, out_specs=PartitionSpec(_ROWS), check_vma=False)
    shardings = tuple(NamedSharding(_mesh(), spec) for spec in specs)
    return jax.jit(mapped, in_shardings=shardings, compiler_options=compiler_options())


def _row_by_row(function: Callable, by_row: Sequence[bool]) -> Callable:
    def looped(*arguments: Any) -> Any:
        split = [argument for argument, rows in zip(arguments, by_row, strict=True) if rows]

        def one(row: list[Any]) -> Any:
            given = iter(jax.tree.map(lambda x: x[None], row))
            made = function(*(next(given) if rows else a for a, rows in zip(arguments, by_row, strict=True)))
            return jax.tree.map(lambda x: x[0], made)

        return lax.map(one, split)

    return looped


def everywhere(weights: Any) -> Any:
    """Weights as they are needed by `over_devices`: copied to every device once."""
    if jax.local_device_count() == 1:
        return weights
    return jax.device_put(weights, NamedSharding(_mesh(), PartitionSpec()))


def _mesh() -> Mesh:
    return Mesh(np.array(jax.local_devices()), (_ROWS,), axis_types=(AxisType.Auto,))
