"""A part of a few numbers, to be put into the registry of parts by tests."""

import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict


def default_config() -> ConfigDict:
    return ConfigDict({"name": "toy", "width": 3, "kernels": ((3, 1), (5, 2)), "rate": 0.5})


class Toy(nnx.Module):
    """Batch norm, then a linear layer."""

    def __init__(self, config, *, rngs, dtype=jnp.float32):
        self.strides = tuple(stride for _, stride in config.kernels)
        self.norm = nnx.BatchNorm(config.width, rngs=rngs)
        self.linear = nnx.Linear(config.width, 2, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(config.rate)

    def __call__(self, x):
        return self.dropout(self.linear(self.norm(x)))
