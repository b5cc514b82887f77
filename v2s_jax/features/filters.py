"""The mel filters, the window and the scale of the log-mel recipe: for JAX, PyTorch and the host alike, without jax."""

import functools
from typing import Any

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import LOG_CEILING, LOG_FLOOR, N_FFT, N_MELS, SAMPLE_RATE

# Of a mel's inversion, by `mel_inversion.py` and its module in PyTorch.
TINY = 1e-8  # what nothing is divided by less than
UPDATES = 10  # of the magnitudes given, for them to have the mel


@functools.cache
def mel_filters(n_fft: int = N_FFT, n_mels: int = N_MELS) -> Float[np.ndarray, "bins mels"]:
    """Triangular mel filters, one a column (Slaney, Auditory Toolbox, 1998; librosa.filters.mel transposed)."""
    edges = _mel_to_hz(np.linspace(_hz_to_mel(0.0), _hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    frequencies = np.arange(n_fft // 2 + 1)[:, None] * SAMPLE_RATE / n_fft
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((frequencies - low) / (centre - low), (high - frequencies) / (high - centre))
    return (np.maximum(triangles, 0) * 2 / (high - low)).astype(np.float32)  # Slaney: unit area over Hz


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear up to 1000 Hz, 15 mel; above, 27 mel to each factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `_hz_to_mel`, elementwise."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@functools.cache
def hann(n: int = N_FFT) -> Float[np.ndarray, "n"]:
    """The periodic Hann window in float64 (periodic as for spectra, not the symmetric one of filter design)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


@functools.cache
def spreading() -> Float[np.ndarray, "80 321"]:
    """What turns a linear mel into smooth magnitudes: a bin's is the weighted mean of what its filters say."""
    filters = mel_filters()
    return (filters / filters.sum(0) / np.maximum(filters.sum(1, keepdims=True), 1e-9)).T


def scale_mel(mel: Float[Any, "*shape"]) -> Float[Any, "*shape"]:
    """Maps log-mel from [ln 1e-5, 2] to [-1, 1], linearly and without clipping: what decoders see."""
    return (mel - LOG_FLOOR) * (2 / (LOG_CEILING - LOG_FLOOR)) - 1


def unscale_mel(scaled: Float[Any, "*shape"]) -> Float[Any, "*shape"]:
    """The inverse of `scale_mel`: what vocoders take."""
    return (scaled + 1) * ((LOG_CEILING - LOG_FLOOR) / 2) + LOG_FLOOR
