"""Noise that a clip keeps whatever batch or padding it is sampled in.

Every frame of every row has its own stream: the row's key, folded with the draw's number, folded with the frame's. A
draw of shape [B, T, D] from one key would change with B and T.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key


def row_keys(key: Key[Array, ""], ids: Int[Array, "B"]) -> Key[Array, "B"]:
    """A key for each row from what identifies its clip, not from where it stands in the batch."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, ids)


def frame_noise(
    keys: Key[Array, "B"], shape: tuple[int, ...], start: Int[Array, "B"] | None = None
) -> Callable[[Int[Array, ""] | int], jax.Array]:
    """A source of standard normal noise for `sampling.sample`: called with a draw's number, it gives [B, *D].

    Args:
        keys: one for each row; of the threefry generator, for others draw differently inside `vmap`.
        shape: of one row, frames first.
        start: the frame of its clip that each row begins with, so that windows share the noise where they overlap;
            None: the first.

    Raises:
        ValueError: the keys are of another generator.
    """
    if jax.random.key_impl(keys) != "threefry2x32":
        raise ValueError(f"keys are of {jax.random.key_impl(keys)}: expected threefry2x32")

    first = jnp.zeros(keys.shape[0], jnp.int32) if start is None else start
    places = first[:, None] + jnp.arange(shape[0])[None]

    def frame(key: jax.Array, index: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, index), shape[1:])

    def draw(number: Int[Array, ""] | int) -> jax.Array:
        numbered = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        return jax.vmap(jax.vmap(frame, (None, 0)))(numbered, places)

    return draw
