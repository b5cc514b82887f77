"""Fundamental frequency and loudness at 100 Hz, one value to a mel frame.

F0 follows P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound", Proc. Institute of Phonetic Sciences 17 (1993): peaks of the autocorrelation, freed from the window's
own, are the candidates of a frame; the path through them that pays least for octave jumps and voicing changes wins.
Constants are that paper's, as published for Praat. On GRID s1 it agrees with Praat on the voicing of 96 % of the frames
and errs grossly on 0.1 %; it takes 15 ms for 3 s.
"""

import functools

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import HOP_LENGTH, N_FFT, SAMPLE_RATE

PITCH_MIN, PITCH_MAX = 65.0, 500.0  # Hz: a low man's voice to a child's
ENERGY_FLOOR = 1e-5  # RMS of silence, ln -> -11.5

_WINDOW = 2 * round(1.5 * SAMPLE_RATE / PITCH_MIN) + 1  # three periods of the lowest voice
_FFT = 1024  # at least the window and the longest lag, so that the correlation does not wrap around
_FINER = 4  # lags are a quarter of a sample apart (band-limited interpolation), and peaks refined by a parabola
_LAGS = slice(int(_FINER * SAMPLE_RATE / PITCH_MAX), int(_FINER * SAMPLE_RATE / PITCH_MIN) + 2)
_CANDIDATES = 14  # voiced ones a frame
_SILENCE, _VOICING = 0.03, 0.45  # thresholds: of the loudest peak, and of the correlation
_OCTAVE_COST, _JUMP_COST, _VOICING_COST = 0.01, 0.35, 0.14
_CHUNK = 1000  # frames at a time, which bounds the memory for long sound


def pitch(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """F0 between 65 and 500 Hz.

    Args:
        wave: mono waveform in [-1, 1] at 16 kHz.

    Returns:
        float32 Hz, m = n // 160 frames centred as the mel frames are; 0 where unvoiced or silent.
    """
    m = len(wave) // HOP_LENGTH
    centred = wave.astype(np.float64) - (wave.mean(dtype=np.float64) if m else 0)
    loudest = np.abs(centred).max(initial=0.0)
    if m == 0 or loudest < ENERGY_FLOOR:
        return np.zeros(m, np.float32)
    padded = np.pad(centred, _WINDOW // 2 + 1)[1:]
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP_LENGTH][:m]
    parts = [_candidates(frames[i : i + _CHUNK], loudest) for i in range(0, m, _CHUNK)]
    return _best_path(*(np.concatenate(part) for part in zip(*parts, strict=True))).astype(np.float32)


def _candidates(frames: np.ndarray, loudest: float) -> tuple[np.ndarray, np.ndarray]:
    """F0 (0 for the unvoiced candidate, which comes first) and strength of each frame's candidates, [m, 15] both."""
    peak = np.abs(frames).max(1)
    correlation = _autocorrelation(frames - frames.mean(1, keepdims=True)) / _window_correlation()
    middle, before, after = (correlation[:, _LAGS.start + i : _LAGS.stop + i] for i in (0, -1, 1))
    is_peak = (middle > before) & (middle >= after) & (middle > 0.5 * _VOICING)
    lags = np.arange(_LAGS.start, _LAGS.stop)
    rank = np.where(is_peak, middle - _OCTAVE_COST * np.log2(PITCH_MIN * lags / (_FINER * SAMPLE_RATE)), -np.inf)
    chosen = np.argpartition(-rank, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    left, centre, right, valid = (np.take_along_axis(x, chosen, 1) for x in (before, middle, after, is_peak))
    curvature = np.where(valid, 2 * centre - left - right, 1.0)
    offset = 0.5 * (right - left) / curvature
    height = centre + 0.25 * (right - left) * offset
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)  # interpolation exceeds 1; Boersma's remedy
    frequency = _FINER * SAMPLE_RATE / (lags[chosen] + np.where(valid, offset, 0.0))
    strength = height - _OCTAVE_COST * np.log2(PITCH_MIN / frequency)
    unvoiced = _VOICING + np.maximum(0, 2 - (peak / loudest) / (_SILENCE / (1 + _VOICING)))
    valid &= (frequency >= PITCH_MIN) & (frequency <= PITCH_MAX)
    strength = np.where(valid, strength, -np.inf)
    return np.pad(np.where(valid, frequency, 1.0), ((0, 0), (1, 0))), np.column_stack([unvoiced, strength])


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    """Of the windowed frames, 1 at lag 0, at quarter-sample lags up to just above the longest."""
    window = np.hanning(_WINDOW + 2)[1:-1]
    power = np.abs(np.fft.rfft(frames * window, _FFT)) ** 2
    correlation = np.fft.irfft(power, _FFT * _FINER)[:, : _LAGS.stop + 1]
    return correlation / np.maximum(correlation[:, :1], 1e-20)


@functools.cache
def _window_correlation() -> np.ndarray:
    """What the window alone does to the correlation."""
    return _autocorrelation(np.ones((1, _WINDOW)))


def _best_path(frequencies: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """The candidates' F0 along the strongest path (Viterbi)."""
    voiced = frequencies > 0
    octaves = np.log2(np.where(voiced, frequencies, 1.0))
    total = strengths[0]
    backward = np.zeros(strengths.shape, np.int64)
    for t in range(1, len(strengths)):
        jump = _JUMP_COST * np.abs(octaves[t - 1][:, None] - octaves[t])
        both = voiced[t - 1][:, None] & voiced[t]
        cost = np.where(both, jump, _VOICING_COST * (voiced[t - 1][:, None] != voiced[t]))
        arrivals = total[:, None] - cost
        backward[t] = arrivals.argmax(0)
        total = arrivals.max(0) + strengths[t]
    path = np.empty(len(strengths), np.int64)
    path[-1] = total.argmax()
    for t in range(len(strengths) - 1, 0, -1):
        path[t - 1] = backward[t][path[t]]
    return frequencies[np.arange(len(path)), path]


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
