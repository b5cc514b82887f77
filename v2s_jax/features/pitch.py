"""Fundamental frequency and loudness at 100 Hz, one value to a mel frame."""

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import HOP_LENGTH, N_FFT, SAMPLE_RATE

PITCH_MIN, PITCH_MAX = 65.0, 500.0  # Hz: a low man's voice to a child's
ENERGY_FLOOR = 1e-5  # RMS of silence, ln -> -11.5
_PITCH_WINDOW = 1024  # samples, 64 ms: four periods of the lowest voice


def pitch(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """F0 by probabilistic YIN (Mauch and Dixon 2014; librosa.pyin) on a grid of 20 cents.

    The grid is twice as coarse as librosa's default, which costs at most 10 cents and makes it four times as fast.

    Args:
        wave: mono waveform in [-1, 1] at 16 kHz.

    Returns:
        float32 Hz, m = n // 160 frames centred as the mel frames are; 0 where unvoiced.
    """
    import librosa  # loads numba: only those who ask for pitch wait for it

    m = len(wave) // HOP_LENGTH
    if not np.any(wave):  # also the empty wave; YIN divides by the energy
        return np.zeros(m, np.float32)
    f0, voiced, _ = librosa.pyin(
        wave.astype(np.float64),
        fmin=PITCH_MIN,
        fmax=PITCH_MAX,
        sr=SAMPLE_RATE,
        frame_length=_PITCH_WINDOW,
        hop_length=HOP_LENGTH,
        resolution=0.2,
        fill_na=0.0,
    )
    return np.where(voiced, f0, 0)[:m].astype(np.float32)


def energy(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Natural logarithm of the RMS of the 640 samples around each mel frame's centre, at least ln 1e-5.

    Args:
        wave: mono waveform in [-1, 1] at 16 kHz.

    Returns:
        float32, m = n // 160 frames at 100 Hz.
    """
    m = len(wave) // HOP_LENGTH
    if m == 0:
        return np.zeros(0, np.float32)
    padded = np.pad(wave.astype(np.float64), N_FFT // 2, mode="reflect")
    total = np.concatenate([[0.0], np.cumsum(padded**2)])
    starts = np.arange(m) * HOP_LENGTH
    power = np.maximum(total[starts + N_FFT] - total[starts], 0) / N_FFT  # a difference of sums may round below 0
    return np.log(np.maximum(np.sqrt(power), ENERGY_FLOOR)).astype(np.float32)
