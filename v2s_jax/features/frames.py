"""Overlapping frames on the device, which every spectrum here begins with."""

import jax
import jax.numpy as jnp
from jaxtyping import Float


def overlapping(wave: Float[jax.Array, "*B n"], size: int, hop: int) -> Float[jax.Array, "*B m size"]:
    """Frames of `size` samples, one every `hop`, that lie in the wave: neighbouring hops side by side.

    A reshape and a few slices, and not the convolution that jax.scipy.signal.stft lowers to.

    Args:
        wave: a multiple of `hop` samples.
        size: not more than the wave; where it is no multiple of `hop` either, frames end within their last hop.
        hop: samples between the beginnings of frames.
    """
    hops = wave.reshape(*wave.shape[:-1], -1, hop)
    each = -(-size // hop)
    count = hops.shape[-2] - each + 1
    return jnp.concatenate([hops[..., i : i + count, :] for i in range(each)], axis=-1)[..., :size]
