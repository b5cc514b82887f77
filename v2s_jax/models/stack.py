"""Layers that are alike: their parameters stacked along a leading axis and run by one `lax.scan`.

A scan compiles one layer whatever their number. With `scan` off the same parameters run in a Python loop, and `fold`
(see `models/fold.py`) gives every layer arrays of its own.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from v2s_jax.models.remat import policy_name, remat
from v2s_jax.models.rows import keep_rows

Step = Callable[[Any, tuple], tuple[Any, Any]]


class LayerStack(nnx.Module):
    """What has a stack of layers.

    Attributes:
        depth: how many there are.
        scan: whether they are run by a scan.
        remat: what of a layer is kept for the backward pass; see `remat.py`.
        folded: whether the layers have arrays of their own.
        layers: one module whose arrays have a row for every layer; a list of modules when folded.
    """

    depth: int
    scan: bool
    remat: str
    folded: bool

    def stack(
        self, make: Callable[[nnx.Rngs], nnx.Module], depth: int, scan: bool, remat: bool | str, rngs: nnx.Rngs
    ) -> None:
        """Makes the layers.

        Args:
            make: a layer from its rngs.
            depth: how many.
            scan: see the class.
            remat: likewise.
            rngs: for the initial weights.

        Raises:
            V2SError: there is no such policy.
        """
        self.depth, self.scan, self.remat, self.folded = depth, scan, policy_name(remat), False
        self.layers: Any = nnx.vmap(make)(rngs.split(depth))

    def fold(self) -> None:
        """Gives every layer its own arrays: a scan copies each layer's before it can use them."""
        self.layers, self.folded = nnx.List(_unstacked(self.layers, self.depth)), True

    def walk(self, step: Step, carry: Any, count: int, *each: jax.Array) -> Any:
        """Takes any streams through the first layers.

        Args:
            step: (carry, (layer, ...)) -> (carry, output), where `...` are this layer's rows of `each`.
            carry: what the first layer is given, of the batch's rows.
            count: how many layers.
            each: arrays with a row for every layer.

        Returns:
            The last carry, and the outputs stacked.
        """
        kept = remat(_keeping_rows(step), self.remat, prevent_cse=not self.scan)
        if self.folded:
            layers = enumerate(list(self.layers)[:count])
            return _loop(kept, carry, [(layer, *(rows[index] for rows in each)) for index, layer in layers])
        inputs = jax.tree.map(lambda leaf: leaf[:count], (self.layers, *each))
        return lax.scan(kept, carry, inputs) if self.scan else _loop(kept, carry, _unstacked(inputs, count))


def _keeping_rows(step: Step) -> Step:
    return lambda carry, inputs: step(jax.tree.map(keep_rows, carry), inputs)


def _unstacked(tree: Any, count: int) -> list[Any]:
    return [jax.tree.map(lambda leaf, index=index: leaf[index], tree) for index in range(count)]


def _loop(step: Step, carry: Any, inputs: list[tuple]) -> tuple[Any, Any]:
    """`lax.scan` as a Python loop over a list."""
    outputs = []
    for given in inputs:
        carry, output = step(carry, given)
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)
