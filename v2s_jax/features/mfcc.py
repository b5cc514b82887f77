"""MFCCs with their first and second differences, 39 numbers: what the first units of HuBERT are clusters of.

The recipe is Kaldi's `compute-mfcc-feats` with its defaults, without dither and energy, on a wave in [-1, 1], which is
what HuBERT (Hsu et al. 2021, arXiv 2106.07447) took: 25 ms frames every 10 ms, each without its mean, pre-emphasis
0.97, Povey's window, 512-point power spectrum, 23 triangles on the HTK mel scale from 20 to 8000 Hz, natural logarithm,
13 cosine coefficients, liftered by 22; differences over 5 frames.
"""

import functools

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import HOP_LENGTH, SAMPLE_RATE

N_CEPSTRA = 13
N_MFCC = 3 * N_CEPSTRA
FRAME = SAMPLE_RATE // 40  # samples: 25 ms
_FFT = 512
_BANDS = 23
_LOWEST = 20.0  # Hz
_PREEMPHASIS = 0.97
_LIFTER = 22
_REACH = 2  # frames on either side that a difference looks at
_FLOOR = float(np.finfo(np.float32).eps)  # of a band's energy


def mfcc(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 39"]:
    """MFCCs and their differences at 100 Hz.

    Args:
        wave: mono waveform in [-1, 1] at 16 kHz.

    Returns:
        float32, m = 1 + (n - 400) // 160 frames, the first of the samples 0 to 399; none if the wave is shorter.
    """
    if len(wave) < FRAME:
        return np.zeros((0, N_MFCC), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), FRAME)[::HOP_LENGTH]
    frames = frames - frames.mean(1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectrum = np.fft.rfft((frames - _PREEMPHASIS * before) * _window(), _FFT)
    energy = (spectrum.real**2 + spectrum.imag**2) @ _filters()
    cepstra = np.log(np.maximum(energy, _FLOOR)) @ _cosines()
    first = differences(cepstra)
    return np.concatenate([cepstra, first, differences(first)], axis=1).astype(np.float32)


def differences(x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
    """Slope of a line through each frame and its two neighbours on either side; the ends are repeated."""
    padded = np.pad(x, ((_REACH, _REACH), (0, 0)), mode="edge")
    reach = range(1, _REACH + 1)
    ahead = [padded[_REACH + n : _REACH + n + len(x)] for n in reach]
    behind = [padded[_REACH - n : _REACH - n + len(x)] for n in reach]
    total = sum(n * (a - b) for n, a, b in zip(reach, ahead, behind, strict=True))
    return np.asarray(total) / (2 * sum(n * n for n in reach))


@functools.cache
def _window() -> np.ndarray:
    """Povey's: a Hann window to the power of 0.85."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / (FRAME - 1))) ** 0.85


@functools.cache
def _filters() -> np.ndarray:
    """Triangles in mel over the FFT's bins, [257, 23]."""
    low, high = (1127 * np.log1p(hertz / 700) for hertz in (_LOWEST, SAMPLE_RATE / 2))
    corners = np.linspace(low, high, _BANDS + 2)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    mel = 1127 * np.log1p(np.arange(_FFT // 2 + 1)[:, None] * SAMPLE_RATE / _FFT / 700)
    return np.maximum(0, np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)))


@functools.cache
def _cosines() -> np.ndarray:
    """The orthonormal cosine transform with the lifter in it, [23, 13]."""
    order = np.arange(N_CEPSTRA)
    table = np.sqrt(2 / _BANDS) * np.cos(np.pi / _BANDS * (np.arange(_BANDS)[:, None] + 0.5) * order)
    table[:, 0] = np.sqrt(1 / _BANDS)
    return table * (1 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER))
