"""AV-HuBERT's audio input: 26 log filterbank energies at 100 Hz, stacked by four to 104 at 25 Hz.

The recipe is `python_speech_features.logfbank` with its defaults (AV-HuBERT, Shi et al. 2022, arXiv 2201.02184) on a
wave at int16 scale: pre-emphasis 0.97, rectangular 25 ms frames every 10 ms, 512-point power spectrum, 26 triangular
filters on the HTK mel scale from 0 to 8000 Hz, natural logarithm.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from v2s_jax.constants import HOP_LENGTH, SAMPLE_RATE, SAMPLES_PER_FRAME

N_FILTERS = 26
STACK = 4  # 100 Hz filterbank frames to one 25 Hz step
_FRAME = SAMPLE_RATE // 40  # 25 ms
_FFT = 512
_PREEMPHASIS = 0.97
_EPS = float(np.finfo(float).eps)  # stands in for an energy of exactly 0


def log_filterbank(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 26"]:
    """Log filterbank energies of a wave in [-1, 1] at 16 kHz, float64; m = 1 + ceil((n - 400) / 160), at least 1."""
    if len(wave) == 0:
        return np.zeros((0, N_FILTERS))
    # The published models heard 16-bit files: same scale, same rounding, same clipping.
    signal = np.clip(np.rint(wave.astype(np.float64) * 32768), -32768, 32767)
    signal[1:] -= _PREEMPHASIS * signal[:-1]
    m = 1 + max(0, -(-(len(signal) - _FRAME) // HOP_LENGTH))
    signal = np.pad(signal, (0, max(0, (m - 1) * HOP_LENGTH + _FRAME - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(signal, _FRAME)[::HOP_LENGTH][:m]
    spectrum = np.fft.rfft(frames, _FFT)
    energy = (spectrum.real**2 + spectrum.imag**2) / _FFT @ _filters()
    return np.log(np.where(energy == 0, _EPS, energy))


def stacked_filterbank(
    wave: Float[np.ndarray, "n"], n_frames: int, normalize: bool = True
) -> Float[np.ndarray, "T 104"]:
    """What AV-HuBERT's audio branch is fed.

    Args:
        wave: mono waveform in [-1, 1] at 16 kHz.
        n_frames: video frames T; the steps are cut, or padded with zeros before the normalisation, to this number.
        normalize: subtract each step's mean and divide by its standard deviation over the 104 values, as the published
            models expect.

    Returns:
        float32, four consecutive 10 ms frames a step.
    """
    energies = log_filterbank(wave)[: n_frames * STACK]
    padded = np.pad(energies, ((0, n_frames * STACK - len(energies)), (0, 0)))
    stacked = padded.reshape(n_frames, STACK * N_FILTERS)
    if normalize:
        centred = stacked - stacked.mean(1, keepdims=True)
        stacked = centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + 1e-5)
    return stacked.astype(np.float32)


def stacked_filterbank_jax(
    audio: Float[jax.Array, "B samples"], length: Int[jax.Array, "B"]
) -> Float[jax.Array, "B T 104"]:
    """The numbers of `stacked_filterbank`, normalised, on the device and in float32.

    Args:
        audio: waveforms in [-1, 1] at 16 kHz, 640 T samples each.
        length: valid video frames of each row; what is beyond them does not count.
    """
    rows, samples = audio.shape
    steps = samples // SAMPLES_PER_FRAME
    within = jnp.arange(samples)[None] < SAMPLES_PER_FRAME * length[:, None]
    signal = jnp.clip(jnp.round(audio.astype(jnp.float32) * 32768), -32768, 32767)
    before = jnp.pad(signal, ((0, 0), (1, 0)))[:, :-1]
    signal = jnp.where(within, signal - _PREEMPHASIS * before, 0)
    hops = jnp.pad(signal, ((0, 0), (0, 2 * HOP_LENGTH))).reshape(rows, -1, HOP_LENGTH)
    frames = jnp.concatenate([hops[:, :-2], hops[:, 1:-1], hops[:, 2:]], -1)[..., :_FRAME]
    spectrum = jnp.fft.rfft(frames, _FFT)
    power = (spectrum.real**2 + spectrum.imag**2) / _FFT
    energy = jnp.matmul(power, _filters().astype(np.float32), precision=jax.lax.Precision.HIGHEST)
    # The frames of a wave end with the one that reaches its end: of each step's four, the clip's last step lacks one.
    present = jnp.arange(STACK * steps)[None] < (STACK * length - 1)[:, None]
    logarithm = jnp.where(present[..., None], jnp.log(jnp.where(energy == 0, _EPS, energy)), 0)
    stacked = logarithm.reshape(rows, steps, STACK * N_FILTERS)
    centred = stacked - stacked.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5)


@functools.cache
def _filters() -> np.ndarray:
    """Triangles between FFT bins [257, 26], their corners rounded down to whole bins as python_speech_features does."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, N_FILTERS + 2) / 2595) - 1)
    corners = np.floor((_FFT + 1) * hertz / SAMPLE_RATE)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    bins = np.arange(_FFT // 2 + 1)[:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    return np.clip(np.where(bins < centre, rising, falling), 0, None)
