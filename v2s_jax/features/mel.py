"""The project's one log-mel recipe, on the host (numpy) and on the device (jitted JAX), with equal numbers.

Magnitude STFT with a periodic Hann window of 640 samples, hop 160, centred with reflect padding; 80 mel bins from 0 to
8000 Hz on Slaney's scale with Slaney's normalisation (librosa's default filters); natural logarithm of max(., 1e-5). Of
the centred frames the last is dropped, so n samples give n // 160 frames and a video frame has exactly four.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from v2s_jax.constants import HOP_LENGTH, N_FFT, N_MELS
from v2s_jax.features.filters import hann, mel_filters
from v2s_jax.features.frames import overlapping

_POWER_FLOOR = 1e-14  # keeps the square root's gradient finite; its magnitude, 1e-7, is far below the mel floor
_HOPS = N_FFT // HOP_LENGTH  # hops to a window


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
def log_mel_of_clips(wave: Float[jax.Array, "B n"], samples: Int[jax.Array, "B"]) -> Float[jax.Array, "B m 80"]:
    """`log_mel_jax` of rows of different lengths, of each what it gives of that row alone.

    Args:
        wave: mono waveforms in [-1, 1] at 16 kHz.
        samples: valid ones of each row, a multiple of 160; what stands behind them changes nothing before.

    Returns:
        float32 natural-log mel, m = n // 160; of frames beyond a row's end nothing is said.
    """
    room = wave.shape[1] + _HOPS * HOP_LENGTH  # more than a window reaches beyond the last frame
    place, end = jnp.arange(room)[None], samples[:, None]
    mirrored = jnp.where(place < end, place, jnp.maximum(2 * (end - 1) - place, 0))
    longer = jnp.take_along_axis(wave, jnp.minimum(mirrored, wave.shape[1] - 1), 1)
    return log_mel_jax(longer)[:, : wave.shape[1] // HOP_LENGTH]


@jax.jit
def log_mel_jax(wave: Float[jax.Array, "*B n"]) -> Float[jax.Array, "*B m 80"]:
    """Log-mel spectrogram on the device: the numbers of `log_mel`, differentiable, finite gradients at silence.

    Computed in float32 whatever the dtype of `wave`: within 1e-4 of `log_mel` in every bin down to 60 dB
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
    frames = overlapping(padded, N_FFT, HOP_LENGTH)
    spectrum = jnp.fft.rfft(frames * jnp.asarray(hann(), jnp.float32).reshape((1,) * (frames.ndim - 1) + (N_FFT,)))
    power = spectrum.real**2 + spectrum.imag**2
    magnitude = jnp.sqrt(jnp.maximum(power, _POWER_FLOOR))
    mel = jnp.matmul(magnitude, mel_filters(), precision=jax.lax.Precision.HIGHEST)
    return jnp.log(jnp.maximum(mel, 1e-5))
