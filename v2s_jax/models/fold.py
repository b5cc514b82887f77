"""Modules as inference wants them: weight norms and batch norms within the kernels beside them, layers unstacked.

A module that can be folded has `folded`, whether it is, and `fold()`, which changes it.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import jax
from flax import nnx

Module = TypeVar("Module", bound=nnx.Module)


def fold(module: Module) -> Module:
    """A copy of a module in evaluation mode that computes the same, faster: no longer to be trained or saved.

    A module without any comes back itself.
    """
    return jax.jit(_fold)(module) if next(_unfolded(module), None) is not None else module


def _unfolded(module: nnx.Module) -> Iterator[Any]:
    return (part for _, part in nnx.iter_modules(module) if getattr(part, "folded", None) is False)


def _fold(module: Module) -> Module:
    for part in list(_unfolded(module)):
        part.fold()
    return module
