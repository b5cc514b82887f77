"""The project's one log-mel recipe, on the host (numpy) and on the device (jitted JAX), with equal numbers.

Magnitude STFT with a periodic Hann window of 640 samples, hop 160, centred with reflect padding; 80 mel bins from 0 to
8000 Hz on Slaney's scale with Slaney's normalisation (librosa's default filters); natural logarithm of max(., 1e-5). Of
the centred frames the last is dropped, so n samples give n // 160 frames and a video frame has exactly four.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from v2s_jax.constants import HOP_LENGTH, LOG_CEILING, LOG_FLOOR, N_FFT, N_MELS, SAMPLE_RATE

_POWER_FLOOR = 1e-14  # keeps the square root's gradient finite; its magnitude, 1e-7, is far below the mel floor
_HOPS = N_FFT // HOP_LENGTH  # hops to a window


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


def _padding(n: int) -> tuple[int, int]:
    """Samples to reflect at the start and the end so that n // 160 frames, the first centred on sample 0, fit."""
    return N_FFT // 2, (n // HOP_LENGTH + _HOPS - 1) * HOP_LENGTH - N_FFT // 2 - n


def log_mel(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 80"]:
    """Log-mel spectrogram on the host.

    Args:
        wave: mono waveform in [-1, 1] at 16 kHz.

    Returns:
        float32 natural-log mel, m = n // 160 frames at 100 Hz, not scaled.
    """
    if len(wave) < HOP_LENGTH:
        return np.zeros((0, N_MELS), np.float32)
    left, right = _padding(len(wave))
    # In float64 up to the logarithm, as librosa: single precision shows in quiet bins beside loud ones.
    padded = np.pad(wave.astype(np.float64)[: len(wave) + min(right, 0)], (left, max(right, 0)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    magnitude = np.abs(np.fft.rfft(frames * hann(), axis=-1))
    return np.log(np.maximum(magnitude @ mel_filters(), 1e-5)).astype(np.float32)


@jax.jit
def log_mel_jax(wave: Float[jax.Array, "*B n"]) -> Float[jax.Array, "*B m 80"]:
    """Log-mel spectrogram on the device: the numbers of `log_mel`, differentiable, finite gradients at silence.

    Frames are cut by reshaping to hops and joining four neighbours, not by the convolution that jax.scipy.signal.stft
    lowers to. Computed in float32 whatever the dtype of `wave`: within 1e-4 of `log_mel` in every bin down to 60 dB
    below the frame's loudest, and within 1e-3 in the quieter ones, where single precision itself ends.

    Args:
        wave: mono waveforms in [-1, 1] at 16 kHz, any leading dimensions.

    Returns:
        float32 natural-log mel, m = n // 160 frames at 100 Hz, not scaled.
    """
    *batch, n = wave.shape
    m = n // HOP_LENGTH
    if m == 0:
        return jnp.zeros((*batch, 0, N_MELS), jnp.float32)
    left, right = _padding(n)
    wave = wave.astype(jnp.float32)[..., : n + min(right, 0)]
    padded = jnp.pad(wave, [(0, 0)] * len(batch) + [(left, max(right, 0))], mode="reflect")
    hops = padded.reshape(*batch, m + _HOPS - 1, HOP_LENGTH)
    frames = jnp.concatenate([hops[..., i : i + m, :] for i in range(_HOPS)], axis=-1)
    spectrum = jnp.fft.rfft(frames * jnp.asarray(hann(), jnp.float32).reshape((1,) * (frames.ndim - 1) + (N_FFT,)))
    power = spectrum.real**2 + spectrum.imag**2
    magnitude = jnp.sqrt(jnp.maximum(power, _POWER_FLOOR))
    mel = jnp.matmul(magnitude, mel_filters(), precision=jax.lax.Precision.HIGHEST)
    return jnp.log(jnp.maximum(mel, 1e-5))


def scale_mel(mel: Float[jax.Array | np.ndarray, "*B 80"]) -> Float[jax.Array | np.ndarray, "*B 80"]:
    """Maps log-mel from [ln 1e-5, 2] to [-1, 1], linearly and without clipping: what decoders see."""
    return (mel - LOG_FLOOR) * (2 / (LOG_CEILING - LOG_FLOOR)) - 1


def unscale_mel(scaled: Float[jax.Array | np.ndarray, "*B 80"]) -> Float[jax.Array | np.ndarray, "*B 80"]:
    """The inverse of `scale_mel`: what vocoders take."""
    return (scaled + 1) * ((LOG_CEILING - LOG_FLOOR) / 2) + LOG_FLOOR
