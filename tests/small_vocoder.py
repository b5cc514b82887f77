"""Tiny untrained vocoders, their weights made without initialising anything on a device (as in `small_model.py`)."""

import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from ml_collections import ConfigDict

from v2s_jax.data.batch import Batch
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import hifigan, spectral
from v2s_jax.systems.registry import build


def small_config(**settings) -> ConfigDict:
    """Two stages, one period critic, and one scale critic with each norm; `settings` override those of the system."""
    config = hifigan.default_config("small")
    config.generator.update({"upsample_rates": (10, 16), "upsample_kernel_sizes": (20, 32)})
    config.generator.update({"upsample_initial_channel": 16, "resblock_kernel_sizes": (3,)})
    config.generator.resblock_dilation_sizes = ((1, 3),)
    config.critics.update({"periods": (3,), "scales": 2, "period_channels": (4,) * 5, "scale_channels": (4,) * 7})
    config.critics.scale_groups = (1, 2, 2, 2, 2, 2, 1)
    config.update(settings)
    return config


def small_system(**settings) -> hifigan.HiFiGAN:
    """The system of `small_config`, the same each time."""
    return filled(lambda: build(small_config(**settings), Rngs(0)))


def small_spectral_config() -> ConfigDict:
    """A spectral system of two narrow blocks and two iterations."""
    config = spectral.default_config()
    config.generator.update({"width": 8, "hidden": 12, "blocks": 2, "kernel_size": 3, "iterations": 2})
    return config


def tones(rows: int = 2, frames: int = 4) -> Batch:
    """Up to three voices of two harmonics each."""
    t = np.arange(640 * frames) / 16000
    waves = [0.3 * np.sin(2 * np.pi * hz * t) + 0.1 * np.sin(6 * np.pi * hz * t) for hz in (120, 170, 230)[:rows]]
    return Batch(length=np.full(rows, frames, np.int32), audio=np.stack(waves).astype(np.float32))


def filled(make) -> nnx.Module:
    """The module that `make` builds, with random weights that let a signal through."""
    graphdef, state = nnx.split(nnx.eval_shape(make))
    rng = np.random.default_rng(0)
    flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
    weights = {keys: _uniform(leaf.shape, rng) for keys, leaf in flat.items()}
    for *above, name in flat:
        if name in ("scale", "var"):
            weights[*above, name] += 1
        kernel = weights.get((*above, "weight_v"))
        if name == "weight_g":  # whether the norms belong to outputs, inputs or taps is seen from their number
            own = next(axis for axis in (2, 1, 0) if len(weights[*above, name]) == kernel.shape[axis])
            axis = tuple(other for other in range(3) if other != own)
            weights[*above, name] = np.sqrt((kernel**2).sum(axis)) * rng.uniform(0.7, 1.4, len(weights[*above, name]))
        if name == "weight_orig":
            u = rng.normal(size=weights[*above, name].shape[-1])
            v = np.einsum("kio,o->ki", weights[*above, name], u)
            u = np.einsum("kio,ki->o", weights[*above, name], v)
            weights[*above, "weight_u"], weights[*above, "weight_v"] = (x / np.sqrt((x**2).sum()) for x in (u, v))
    arrays = {keys: jnp.asarray(value, jnp.float32) for keys, value in weights.items()}
    return nnx.merge(graphdef, traverse_util.unflatten_dict(arrays))


def _uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    bound = np.prod(shape[:-1]) ** -0.5 if len(shape) > 1 else 0.1
    return rng.uniform(-bound, bound, shape)
