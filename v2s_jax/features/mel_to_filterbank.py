"""From the decoders' log-mel to AV-HuBERT's audio input, differentiably: how guidance listens to speech not yet made.

DiffV2S feeds the mel it is generating to the audio branch of AV-HuBERT (Choi et al. 2023, arXiv 2308.07787, section
3.3) and does not tell how one becomes the other. Here: a mel frame's bands are spread over the spectrum
(`filters.spreading`), squared, given the pre-emphasis that the filterbank's recipe applies to the wave, and summed by
its filters. Frames of the two recipes begin and end elsewhere, so powers are interpolated between their centres.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from v2s_jax.constants import HOP_LENGTH, N_FFT, SAMPLE_RATE
from v2s_jax.features.filterbank import FFT, FRAME, PREEMPHASIS, SCALE, filterbank_filters, stack
from v2s_jax.features.filters import hann, spreading

_LATER = FRAME / 2 / HOP_LENGTH - 1  # hops from the centre of the next mel frame to that of a filterbank frame
_FLOOR = 1e-3  # energy at int16 scale: digital silence


@functools.cache
def _energies_of_power() -> Float[np.ndarray, "321 26"]:
    """Filterbank energies of a power spectrum by the mel recipe: its bins read at the other's frequencies and scale."""
    ours, theirs = (np.arange(n // 2 + 1) * SAMPLE_RATE / n for n in (N_FFT, FFT))
    place = theirs / ours[1]
    below = np.minimum(place.astype(int), len(ours) - 2)
    read = np.zeros((len(ours), len(theirs)))
    read[below, np.arange(len(theirs))] = 1 - (place - below)
    read[below + 1, np.arange(len(theirs))] = place - below
    emphasis = np.abs(1 - PREEMPHASIS * np.exp(-2j * np.pi * theirs / SAMPLE_RATE)) ** 2
    gain = SCALE**2 * FRAME / np.sum(hann() ** 2) / FFT  # as for noise, whose power grows with the window's
    return (read * emphasis @ filterbank_filters() * gain).astype(np.float32)


def stacked_filterbank_of_mel(log_mel: Float[Array, "B m 80"], length: Int[Array, "B"]) -> Float[Array, "B T 104"]:
    """About what `filterbank.stacked_filterbank_jax` gives for a wave of such a mel, with finite gradients everywhere.

    On four clips of GRID s1 the two correlate at 0.94 to 0.97.

    Args:
        log_mel: natural-log mel, unscaled, m = 4 T frames.
        length: valid video frames of each row; what is beyond them does not count.
    """
    power = jnp.square(jnp.exp(log_mel.astype(jnp.float32)) @ spreading())
    last = jnp.maximum(4 * length - 1, 0)[:, None]
    frames = jnp.arange(log_mel.shape[1])[None]
    one, two = (jnp.take_along_axis(power, jnp.minimum(frames + ahead, last)[..., None], axis=1) for ahead in (1, 2))
    energy = ((1 - _LATER) * one + _LATER * two) @ _energies_of_power()
    return stack(jnp.log(energy + _FLOOR), length)
