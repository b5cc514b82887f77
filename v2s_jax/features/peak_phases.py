"""Phases for magnitudes that have none: every bin turns with the sinusoid whose spectral peak it belongs to.

Single pass spectrogram inversion (Beauregard, Harish and Wyse 2015): where iterations like Griffin-Lim's may begin.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex, Float

from v2s_jax.constants import HOP_LENGTH, N_FFT
from v2s_jax.features.filters import TINY


def peak_frequencies(magnitude: Float[Array, "*B m K"]) -> Float[Array, "*B m K"]:
    """The frequency, in bins, of the peak nearest to each bin: the top of a parabola through three log-magnitudes.

    Args:
        magnitude: not negative. A frame without any peak has bin 0 for one.
    """
    log = jnp.log(jnp.maximum(magnitude, TINY))
    beside = [(0, 0)] * (log.ndim - 1)
    below, above = (jnp.pad(log, [*beside, ends], constant_values=-jnp.inf) for ends in ((1, 0), (0, 1)))
    below, above = below[..., :-1], above[..., 1:]
    bins = _bins(log)
    peak = (log > below) & (log >= above)
    inside = peak & (bins > 0) & (bins < log.shape[-1] - 1)
    bend = jnp.where(inside, below - 2 * log + above, -1)  # negative at a peak
    top = bins + jnp.where(inside, jnp.clip((below - above) / (2 * bend), -0.5, 0.5), 0)
    left = lax.cummax(jnp.where(peak, bins, -log.shape[-1]), axis=log.ndim - 1)
    right = lax.cummin(jnp.where(peak, bins, 2 * log.shape[-1]), axis=log.ndim - 1, reverse=True)
    nearest = jnp.where(bins - left <= right - bins, left, right)
    return jnp.take_along_axis(top, jnp.clip(nearest, 0, log.shape[-1] - 1), axis=-1)


def peak_phases(magnitude: Float[Array, "*B m 321"]) -> Complex[Array, "*B m 321"]:
    """Numbers of length 1, for frames of `mel_inversion.stft`; none depends on a later frame.

    Args:
        magnitude: not negative.
    """
    turns = peak_frequencies(magnitude) * (HOP_LENGTH / N_FFT)  # from a frame to the next
    before = jnp.concatenate([turns[..., :1, :], turns[..., :-1, :]], axis=-2)
    # Whole turns are dropped before the sum, whose precision is that of 32 bits.
    total = jnp.cumsum(jnp.mod((turns + before) / 2, 1), axis=-2)
    # About a window's centre all bins of a sinusoid have its phase; counted from its start, neighbours are opposite.
    angle = 2 * jnp.pi * jnp.mod(total + _bins(magnitude) / 2, 1)
    return lax.complex(jnp.cos(angle), jnp.sin(angle))


def _bins(x: Array) -> Array:
    return jnp.arange(x.shape[-1]).reshape((1,) * (x.ndim - 1) + (-1,))
