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
from v2s_jax.features.frames import overlapping

N_FILTERS = 26
STACK = 4  # 100 Hz filterbank frames to one 25 Hz step
FRAME = SAMPLE_RATE // 40  # 25 ms
FFT = 512
PREEMPHASIS = 0.97
SCALE = 32768  # the published models heard 16-bit files
_EPS = float(np.finfo(float).eps)  # stands in for an energy of exactly 0


def log_filterbank(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 26"]:
    """Log filterbank energies of a wave in [-1, 1] at 16 kHz, float64; m = 1 + ceil((n - 400) / 160), at least 1."""
    if len(wave) == 0:
        return np.zeros((0, N_FILTERS))
    # As in 16-bit files: same scale, same rounding, same clipping.
    signal = np.clip(np.rint(wave.astype(np.float64) * SCALE), -SCALE, SCALE - 1)
    signal[1:] -= PREEMPHASIS * signal[:-1]
    m = 1 + max(0, -(-(len(signal) - FRAME) // HOP_LENGTH))
    signal = np.pad(signal, (0, max(0, (m - 1) * HOP_LENGTH + FRAME - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME)[::HOP_LENGTH][:m]
    spectrum = np.fft.rfft(frames, FFT)
    energy = (spectrum.real**2 + spectrum.imag**2) / FFT @ filterbank_filters()
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
    samples = audio.shape[1]
    within = jnp.arange(samples)[None] < SAMPLES_PER_FRAME * length[:, None]
    signal = jnp.clip(jnp.round(audio.astype(jnp.float32) * SCALE), -SCALE, SCALE - 1)
    before = jnp.pad(signal, ((0, 0), (1, 0)))[:, :-1]
    signal = jnp.where(within, signal - PREEMPHASIS * before, 0)
    frames = overlapping(jnp.pad(signal, ((0, 0), (0, 2 * HOP_LENGTH))), FRAME, HOP_LENGTH)
    spectrum = jnp.fft.rfft(frames, FFT)
    power = (spectrum.real**2 + spectrum.imag**2) / FFT
    energy = jnp.matmul(power, filterbank_filters().astype(np.float32), precision=jax.lax.Precision.HIGHEST)
    return stack(jnp.log(jnp.where(energy == 0, _EPS, energy)), length)


def stack(energies: Float[jax.Array, "B m 26"], length: Int[jax.Array, "B"]) -> Float[jax.Array, "B T 104"]:
    """Log energies as the encoder takes them: four a step, each step normalised over its 104 values.

    Args:
        energies: logarithms, m = 4 T of them.
        length: valid video frames of each row.
    """
    # The frames of a wave end with the one that reaches its end: of each step's four, the clip's last step lacks one.
    present = jnp.arange(energies.shape[1])[None] < (STACK * length - 1)[:, None]
    stacked = jnp.where(present[..., None], energies, 0).reshape(energies.shape[0], -1, STACK * N_FILTERS)
    centred = stacked - stacked.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5)


@functools.cache
def filterbank_filters() -> np.ndarray:
    """Triangles between FFT bins [257, 26], their corners rounded down to whole bins as python_speech_features does."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, N_FILTERS + 2) / 2595) - 1)
    corners = np.floor((FFT + 1) * hertz / SAMPLE_RATE)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    bins = np.arange(FFT // 2 + 1)[:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    return np.clip(np.where(bins < centre, rising, falling), 0, None)
