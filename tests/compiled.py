"""Modules called as one program, compiled once for all that are built alike: most of the suite is compiling."""

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from v2s_jax.models.rngs import Rngs


def _call(graphdef: nnx.GraphDef, method: str, seed: int | None, state: Any, args: tuple, named: dict) -> Any:
    rngs = () if seed is None else (Rngs(seed),)
    return getattr(nnx.merge(graphdef, state), method)(*args, *rngs, **named)


_jitted = jax.jit(_call, static_argnums=(0, 1, 2))
_older = "xla_cpu_use_fusion_emitters=false" in os.environ["XLA_FLAGS"]
_users = {"xla_cpu_use_fusion_emitters": True} if _older else {}
_as_users = jax.jit(_call, static_argnums=(0, 1, 2), compiler_options=_users)


def run(module: nnx.Module, *args: Any, method: str = "__call__", seed: int | None = None, **named: Any) -> Any:
    """`module.method(*args, **named)`, with generators of a seed behind the arguments if one is given."""
    graphdef, state = nnx.split(module)
    return _jitted(graphdef, method, seed, state, args, named)


def run_as_users(module: nnx.Module, *args: Any, **named: Any) -> Any:
    """The same by the emitter that users have and `conftest.py` may leave out, for what is to be equal to the bit."""
    graphdef, state = nnx.split(module)
    return _as_users(graphdef, "__call__", None, state, args, named)


def traced_synthesis(system: nnx.Module) -> tuple[Callable, list, nnx.Module]:
    """The compiled `synthesize` of a system, called with a batch and knobs, the knobs of its traces, and the system."""
    graphdef, weights = nnx.split(system)
    traces: list = []

    def synthesize(weights: Any, batch: Any, knobs: Any) -> Any:
        traces.append(knobs)
        return nnx.merge(graphdef, weights).synthesize(batch, Rngs(0), knobs)

    return functools.partial(jax.jit(synthesize), weights), traces, system
