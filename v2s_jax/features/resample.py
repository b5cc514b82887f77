"""Waveforms played faster or slower, each row at its own speed, on the device."""

import jax.numpy as jnp
from jaxtyping import Array, Float

_HALF = 12  # samples on either side that one of the output is made of


def change_speed(wave: Float[Array, "B T"], speed: Float[Array, "B"], samples: int) -> Float[Array, "B samples"]:
    """The first `samples` of each row played `speed` times as fast, which raises its pitch as much.

    Each sample is a windowed-sinc mean of its neighbours; above speed 1 the sinc also removes what would alias.

    Args:
        wave: waveforms, zeros beyond their ends.
        speed: factors around 1.
        samples: length of the result; T / speed or less to stay within the wave.
    """
    place = jnp.arange(samples, dtype=jnp.float32)[None] * speed[:, None]
    base = jnp.floor(place)
    between = place - base
    cut = jnp.minimum(1.0, 1.0 / speed)[:, None]
    padded = jnp.pad(wave, ((0, 0), (_HALF, _HALF)))
    last = padded.shape[1] - 1
    total = jnp.zeros_like(place)
    for offset in range(1 - _HALF, _HALF + 1):
        distance = between - offset
        weight = cut * jnp.sinc(cut * distance) * jnp.cos(jnp.pi / 2 * distance / _HALF) ** 2
        index = jnp.minimum(base.astype(jnp.int32) + offset + _HALF, last)
        total += weight * jnp.take_along_axis(padded, index, axis=1)
    return total
