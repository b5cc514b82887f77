"""Mel cepstra: the cosine series of a log-mel, which leaves out the fine structure of harmonics."""

import functools

import numpy as np

from v2s_jax.constants import N_MELS

N_CEPSTRA = 13


@functools.cache
def cosines() -> np.ndarray:
    """The basis [80, 13]: c_k = 2/80 sum_n log_mel[n] cos(pi k (n + 1/2) / 80), k = 1 to 13; c_0, the level, is out."""
    k, n = np.arange(1, N_CEPSTRA + 1), np.arange(N_MELS)[:, None]
    return 2 / N_MELS * np.cos(np.pi * k * (n + 0.5) / N_MELS)
