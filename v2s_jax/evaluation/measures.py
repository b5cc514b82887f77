"""What two waveforms are to each other, and what one is by itself: every number the tables hold, as plain functions.

All take mono waveforms in [-1, 1] at 16 kHz. NaN means that the pair cannot be judged (too short, or the recording is
silent); a silent candidate is judged, and badly.
"""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.features.mel_cepstrum import cosines

PESQ_WORST = 1.0  # the lower end of P.862.2's scale
_LOUD = np.log(100.0)  # 40 dB below the loudest frame is where speech is taken to end
_GROSS = 1.2  # an F0 off by more than this factor is a gross error (Chu and Alwan, ICASSP 2009)


def pesq_wideband(recording: Float[np.ndarray, "n"], candidate: Float[np.ndarray, "n"]) -> float:
    """PESQ, wideband (ITU-T P.862.2), 1 to 4.64. A candidate without any sound gets the worst score."""
    import pesq

    if not np.any(recording):
        return float("nan")
    if not np.any(candidate):
        return PESQ_WORST
    try:
        return float(pesq.pesq(SAMPLE_RATE, recording, candidate, "wb"))
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return float("nan")


def stoi(recording: Float[np.ndarray, "n"], candidate: Float[np.ndarray, "n"], extended: bool = False) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), or the extended one (Jensen and Taal 2016), up to 1."""
    import pystoi

    if not np.any(recording):
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # less than 0.4 s of speech in the recording
        try:
            return float(pystoi.stoi(recording, candidate, SAMPLE_RATE, extended=extended))
        except (RuntimeWarning, ValueError):  # ValueError: not even one window
            return float("nan")


def mel_cepstral_distortion(recording: Float[np.ndarray, "m 80"], candidate: Float[np.ndarray, "m 80"]) -> float:
    """Mel-cepstral distortion in dB (Kubichek 1993) between natural-log mels, frame by frame, without warping.

    The cepstra are those of `features/mel_cepstrum.py`: level (c_0) and the fine structure of harmonics are left out.
    The mean runs over the frames in which the recording is within 40 dB of its loudest. Figures from other mel or
    cepstrum recipes are not comparable.
    """
    if not len(recording):
        return float("nan")
    level = np.log(np.exp(2 * recording.astype(np.float64)).sum(1)) / 2
    loud = level > level.max() - _LOUD
    difference = (recording[loud].astype(np.float64) - candidate[loud]) @ cosines()
    return float(np.mean(10 / np.log(10) * np.sqrt(2 * np.sum(difference**2, axis=1))))


def f0_error_cents(recording: Float[np.ndarray, "m"], candidate: Float[np.ndarray, "m"]) -> float:
    """Root mean square difference of two F0 tracks (Hz, 0 unvoiced) in cents, over frames voiced in both."""
    both = (recording > 0) & (candidate > 0)
    if not both.any():
        return float("nan")
    return float(np.sqrt(np.mean((1200 * np.log2(candidate[both] / recording[both])) ** 2)))


def gross_f0_error(recording: Float[np.ndarray, "m"], candidate: Float[np.ndarray, "m"]) -> float:
    """Share of the frames voiced in both whose F0 is off by more than 20 %, in percent."""
    both = (recording > 0) & (candidate > 0)
    if not both.any():
        return float("nan")
    return float(100 * np.mean(np.abs(np.log(candidate[both] / recording[both])) > np.log(_GROSS)))


def voicing_error(recording: Float[np.ndarray, "m"], candidate: Float[np.ndarray, "m"]) -> float:
    """Share of frames voiced in one and unvoiced in the other, in percent."""
    if not len(recording):
        return float("nan")
    return float(100 * np.mean((recording > 0) != (candidate > 0)))


def speaker_similarity(
    recording: Float[np.ndarray, "n"], candidate: Float[np.ndarray, "n"], encoder: Callable[[np.ndarray], np.ndarray]
) -> float:
    """SECS: cosine of the speaker embeddings of two waves, up to 1. A candidate without any sound gets 0.

    Args:
        recording: who should speak.
        candidate: who does.
        encoder: from a waveform to a unit vector.
    """
    if not np.any(recording):
        return float("nan")
    return float(encoder(recording) @ encoder(candidate)) if np.any(candidate) else 0.0


def dnsmos(wave: Float[np.ndarray, "n"]) -> dict[str, float]:
    """DNSMOS P.835 (Reddy et al. 2022) by the models in the `speechmos` wheel: opinions, 1 to 5, without a reference.

    Returns:
        `overall`, `signal` (distortion of the speech) and `background` (noise). Clips under 9 s are judged repeated,
        as in the original.
    """
    from speechmos import dnsmos as judge

    if not len(wave):
        return {"overall": float("nan"), "signal": float("nan"), "background": float("nan")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of librosa, on silence
        scores = judge.run(np.clip(wave, -1, 1).astype(np.float32), sr=SAMPLE_RATE)
    return {name: float(scores[key]) for name, key in _DNSMOS_KEYS.items()}


_DNSMOS_KEYS = {"overall": "ovrl_mos", "signal": "sig_mos", "background": "bak_mos"}
