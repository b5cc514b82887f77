"""What parity tests share: torch modules with weights in which a swapped pair shows, and their copies in JAX."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx, traverse_util

from v2s_jax.interop.table import Entry, export_weights, import_weights

torch.set_num_threads(1)  # what is computed here is tiny, and waiting threads cost more where cores are shared


def randomize(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module in evaluation mode with random weights, batch statistics and slopes."""
    rng = np.random.default_rng(seed)
    state = {name: _random(name, tuple(value.shape), rng) for name, value in module.state_dict().items()}
    module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return module.eval()


def _random(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(0)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return rng.uniform(0.4, 1.0, shape).astype(np.float32)
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 4
    return (rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)


def numpy_state(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """Its state dict as arrays."""
    return {name: value.numpy() for name, value in module.state_dict().items()}


def copy_into(ours: nnx.Module, theirs: torch.nn.Module, entries: Sequence[Entry]) -> nnx.Module:
    """Our module in evaluation mode with a torch module's weights, after checking that exporting gives them back.

    `ours` may be abstract (from `nnx.eval_shape`), which saves the many small compilations of first weights.
    """
    graphdef, state = nnx.split(ours)
    flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
    shapes = {".".join(map(str, keys)): leaf.shape for keys, leaf in flat.items()}
    weights, left = import_weights(entries, numpy_state(theirs), shapes, "twin")
    assert not left
    exported = export_weights(entries, weights)
    assert exported.keys() == theirs.state_dict().keys()
    for name, value in numpy_state(theirs).items():
        np.testing.assert_array_equal(exported[name], value, err_msg=name)
        assert exported[name].dtype == value.dtype
    filled = {keys: jnp.asarray(weights[".".join(map(str, keys))]) for keys in flat}
    model = nnx.merge(graphdef, traverse_util.unflatten_dict(filled))
    return nnx.view(model, raise_if_not_found=False, deterministic=True, use_running_average=True)


@functools.partial(jax.jit, static_argnums=0)
def _every_layer(graphdef, state, inputs):
    model = nnx.merge(graphdef, state)
    return [*model.states(**inputs)[1:], model(**inputs)]


def every_layer(model: nnx.Module, **inputs: np.ndarray | None) -> list[np.ndarray]:
    """What each layer of an encoder gives, and its output."""
    graphdef, state = nnx.split(model)
    return [np.asarray(x) for x in _every_layer(graphdef, nnx.to_pure_dict(state), inputs)]
