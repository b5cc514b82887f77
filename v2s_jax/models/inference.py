"""A trained part to be called like a function: compiled once for each kind of arguments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.models.compiling import compiler_options
from v2s_jax.models.fold import fold


def evaluation_mode(module: Any) -> Any:
    """A view of a module in which dropout does nothing and batch norm uses its running statistics."""
    return nnx.view(module, raise_if_not_found=False, deterministic=True, use_running_average=True)


class Inference:
    """A part in evaluation mode, whose calls run one compiled program.

    Arrays among the arguments, alone or in lists and dicts, are inputs of the program; everything else (None, int, str,
    bool, float) is part of it. So a call compiles when a shape, a dtype or such a value is new. Calls from several
    threads are safe, and so are those within a function that is being compiled, differentiated or mapped. Attributes
    and methods of the module can be read here; methods run uncompiled.

    Args:
        module: the part. Its weights are taken now; later changes to it are not seen by calls.
        config: that it was built from.

    Attributes:
        module: the part in evaluation mode.
        config: that it was built from.
    """

    def __init__(self, module: nnx.Module, config: ConfigDict):
        self.module, self.config = evaluation_mode(module), config
        graphdef, state = nnx.split(fold(self.module))
        self._weights = nnx.to_pure_dict(state)

        def run(weights, arrays, structure, fixed):
            given = iter(arrays)
            leaves = [next(given) if kind is jax.Array else value for kind, value in fixed]
            args, kwargs = jax.tree.unflatten(structure, leaves)
            return nnx.merge(graphdef, weights)(*args, **kwargs)

        self._run = jax.jit(run, static_argnums=(2, 3), compiler_options=compiler_options())
        self._inner = jax.jit(run, static_argnums=(2, 3))  # options are for whole programs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns for these arguments."""
        inputs = self._inputs(args, kwargs)
        # What is computed under `jit` is traced even if its operands are not, and what is differentiated the reverse.
        traced = any(isinstance(x, jax.core.Tracer) for x in (jnp.zeros(()), *inputs[1]))
        return (self._inner if traced else self._run)(*inputs)

    def flops(self, *args: Any, **kwargs: Any) -> float:
        """Floating-point operations of such a call, by the compiler's count; 0 if it gives none."""
        return float((self._run.lower(*self._inputs(args, kwargs)).cost_analysis() or {}).get("flops", 0.0))

    def _inputs(self, args: Any, kwargs: Any) -> tuple[Any, list[Any], Any, tuple]:
        leaves, structure = jax.tree.flatten((args, kwargs))
        leaves = [leaf.item() if isinstance(leaf, np.generic) else leaf for leaf in leaves]
        arrays = [leaf if isinstance(leaf, jax.Array) else np.asarray(leaf) for leaf in leaves if _is_array(leaf)]
        # With its type, since True, 1 and 1.0 are equal and would share a program.
        fixed = tuple((jax.Array, None) if _is_array(leaf) else (type(leaf), leaf) for leaf in leaves)
        return self._weights, arrays, structure, fixed

    def __getattr__(self, name: str) -> Any:
        """An attribute of the module."""
        if name == "module":  # not there yet, as in a copy being made
            raise AttributeError(name)
        return getattr(self.module, name)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__")
