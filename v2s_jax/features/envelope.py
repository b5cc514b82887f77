"""How alike two log-mels are in the way that extended short-time objective intelligibility compares sounds.

ESTOI (Jensen and Taal 2016, "An algorithm for predicting the intelligibility of speech masked by modulated noise
maskers") compares envelopes of 15 third-octave bands over 384 ms, each band normalised over time and each frame over
bands. Here the bands are sums of mel bins, the segments 380 ms, and segments of silence alone are left out of the mean
instead of silent frames being cut out of the sound, so that it is differentiable, needs no waveform and can be trained
on. ESTOI itself cuts nothing where a recording's room is never 40 dB below its speech, as in GRID: there it counts what
a face tells nothing about.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.features.filters import mel_filters

SEGMENT = 38  # mel frames, 380 ms
STRIDE = 2  # mel frames between segments: the mean over them hardly changes, at half the cost
LOWEST, BANDS = 150.0, 15  # Hz, the centre of the first third-octave band, and how many there are
AUDIBLE = 40.0  # dB below the loudest frame at which a frame counts as silent
_TINY = 1e-4  # added to norms of envelopes that are about 1 where speech is loud


@functools.cache
def bands() -> Float[np.ndarray, "80 15"]:
    """Weights from squared mel magnitudes to the energies of the third-octave bands."""
    filters = mel_filters()
    hz = np.arange(len(filters)) * SAMPLE_RATE / 2 / (len(filters) - 1)
    centres = LOWEST * 2 ** (np.arange(BANDS) / 3)
    # A band may be narrower than the bins of the spectrum, so its edges fall off within one of them.
    spacing = hz[1]
    low, high = centres * 2 ** (-1 / 6), centres * 2 ** (1 / 6)
    inside = np.clip(np.minimum(hz[:, None] - low, high - hz[:, None]) / spacing + 0.5, 0, 1)
    return (filters.T @ inside).astype(np.float32)


def envelope_correlation(
    target: Float[Array, "B M 80"], candidate: Float[Array, "B M 80"], mask: Bool[Array, "B M 1"]
) -> Float[Array, ""]:
    """Mean correlation of the frames of all clips, up to 1, but for segments in which there is nothing to hear.

    Args:
        target: natural-log mel of the recording, not scaled.
        candidate: of what is compared with it.
        mask: valid frames.
    """
    wanted, heard = (_envelopes(mel, mask) for mel in (target, candidate))
    loudness = 20 * jnp.log10(jnp.linalg.norm(wanted, axis=-1) + 1e-12)
    audible = mask[..., 0] & (loudness > loudness.max(1, keepdims=True) - AUDIBLE)
    alike = jnp.sum(_normalised(_segments(wanted)) * _normalised(_segments(heard)), -1)
    # A segment that reaches into padding would be compared by the padding.
    counts = _segments(audible[..., None]).any((2, 3)) & _segments(mask).all((2, 3))
    return jnp.sum(jnp.where(counts, alike.mean(-1), 0)) / jnp.maximum(counts.sum(), 1)


def _envelopes(mel: jax.Array, mask: jax.Array) -> Float[Array, "B M 15"]:
    # The gradient of a minimum divides by how many equal it: none, where it and they have been rounded differently.
    quiet = jax.lax.stop_gradient(mel).min()
    energy = jnp.exp(2 * jnp.where(mask, mel, quiet)) @ bands()
    return jnp.sqrt(energy + 1e-10)


def _segments(x: Float[Array, "B M K"] | Bool[Array, "B M K"]) -> Float[Array, "B S N K"] | Bool[Array, "B S N K"]:
    starts = np.arange(0, max(x.shape[1] - SEGMENT + 1, 0), STRIDE)
    return x[:, starts[:, None] + np.arange(SEGMENT)]


def _normalised(x: Float[Array, "B S N K"]) -> Float[Array, "B S N K"]:
    """Every band over the segment's time, then every frame over the bands, to mean 0 and length 1."""
    for axis in (2, 3):
        x = x - x.mean(axis, keepdims=True)
        x = x / (jnp.sqrt(jnp.sum(x * x, axis, keepdims=True) + _TINY**2) + _TINY)
    return x
