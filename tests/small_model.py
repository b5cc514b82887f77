"""A tiny untrained model, made without initialising anything on a device (which takes many small compilations)."""

import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from ml_collections import ConfigDict

from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import svts
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.systems.registry import build


def small_config(**system) -> ConfigDict:
    """An SVTS of a few thousand parameters; `system` overrides settings of its section."""
    config = ConfigDict({"seed": 0, "data": {"path": "/somewhere/private/set", "buckets": (50, 75)}})
    config.train = ConfigDict({"init_from": "/somewhere/private/run"})
    config.system = svts.default_config("tiny").copy_and_resolve_references()
    config.system.update({"resnet": (4, 8), "blocks": 1, "width": 16, "hidden": 16, "kernel_size": 3} | system)
    config.synthesis = ConfigDict({"vocoder": "griffin_lim", "griffin_lim_iterations": 4})
    return config


def small_weights(config: ConfigDict) -> tuple[dict, dict]:
    """Random (parameters, statistics) that let a signal through."""
    rng = np.random.default_rng(0)
    abstract = nnx.eval_shape(lambda: build(config.system, Rngs(0), jnp.dtype("float32")))
    trees = []
    for state in nnx.split(abstract, nnx.Param, ...)[1:]:
        flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
        trees.append(traverse_util.unflatten_dict({k: _random(k[-1], leaf.shape, rng) for k, leaf in flat.items()}))
    return trees[0], trees[1]


def _random(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name in ("scale", "var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 4
    return (rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)


def save_small(folder, config: ConfigDict | None = None) -> None:
    """Writes the model as a folder."""
    config = config or small_config()
    save_pretrained(folder, config, *small_weights(config), card="# small\n")
