"""Random keys whose count is a Python number: the same keys as `nnx.Rngs` draws, at a fraction of the time to trace.

Within a trace `nnx.RngStream` keeps its count as a traced array, and to assign it flax asks a tracer for its
`sharding`: the error that answers lists where the tracer comes from, by a walk over everything traced so far. Building
a system of 500 parameters spent nine tenths of its time there.
"""

from typing import Any

import jax
from flax import nnx


class Stream(nnx.RngStream):
    """`nnx.RngStream` with its own count of the keys drawn."""

    def __init__(self, key: jax.Array | int, *, tag: str):
        super().__init__(key, tag=tag)
        self.drawn = 0

    def __call__(self) -> jax.Array:
        """The next key."""
        key = jax.random.fold_in(self.key[...], self.drawn)
        self.drawn += 1
        return key


class Rngs(nnx.Rngs):
    """`nnx.Rngs` of such streams; it takes and gives the same."""

    def __init__(self, default: Any = None, **rngs: Any):
        super().__init__(default, **rngs)
        for tag, stream in list(self.items()):
            setattr(self, tag, Stream(stream.key[...], tag=tag))
