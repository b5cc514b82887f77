"""Magnitude spectra of any resolution, for losses; `mel.py` has the project's one log-mel recipe."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from v2s_jax.features.filters import hann
from v2s_jax.features.frames import overlapping

_POWER_FLOOR = 1e-8  # magnitudes of at least 1e-4, which is below a 16-bit file's own noise; keeps gradients finite


def magnitudes(wave: Float[Array, "B n"], size: int, hop: int) -> Float[Array, "B frames bins"]:
    """Magnitudes of a short-time Fourier transform, at least 1e-4.

    Args:
        wave: waveforms; computed in float32.
        size: of the Hann window and the transform, a multiple of `hop`.
        hop: samples between frames.

    Returns:
        max(n // hop - size // hop + 1, 1) frames of size // 2 + 1 bins: only a wave shorter than `size` is padded.
    """
    per_frame = size // hop
    hops = max(wave.shape[1] // hop, per_frame)
    wave = jnp.pad(wave.astype(jnp.float32), ((0, 0), (0, max(0, size - wave.shape[1]))))[:, : hops * hop]
    frames = overlapping(wave, size, hop)
    spectrum = jnp.fft.rfft(frames * hann(size).astype(np.float32)[None, None])
    return jnp.sqrt(jnp.maximum(spectrum.real**2 + spectrum.imag**2, _POWER_FLOOR))
