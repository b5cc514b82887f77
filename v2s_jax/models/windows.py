"""Windows of clips that start at random, where a step looks at no more."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Int, Shaped


def starts(length: Int[Array, "B"], steps: int, window: int, rngs: nnx.Rngs) -> Int[Array, "B"]:
    """Where a window of each row starts, uniform over those that the row fills, or 0.

    Args:
        length: valid steps of each row.
        steps: of all rows, padding included; at least `window`.
        window: steps of a window.
        rngs: a `window` stream.
    """
    room = jnp.clip(jnp.minimum(length, steps) - window, 0)
    drawn = jax.random.uniform(rngs.window(), length.shape)
    return jnp.minimum((drawn * (room + 1)).astype(jnp.int32), room)


def cut(x: Shaped[Array, "B T ..."], first: Int[Array, "B"], window: int) -> Shaped[Array, "B w ..."]:
    """`window` steps of each row from the step `first` on; of shorter rows all there is, at its end."""
    window = min(window, x.shape[1])
    return jax.vmap(lambda row, at: jax.lax.dynamic_slice_in_dim(row, at, window))(x, first)
