"""Log-mel to waveform, whatever the length: vocoders by name, and one pass over a long mel in chunks."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from v2s_jax.constants import HOP_LENGTH, LOG_CEILING, LOG_FLOOR, N_MELS
from v2s_jax.errors import V2SError
from v2s_jax.synthesis.windows import Window, cross_fade

GRIFFIN_LIM = "griffin_lim"

# In mel frames, 100 to the second.
CHUNK = 2000  # bounds a vocoder's memory: Griffin-Lim takes about 50 MB for it
CONTEXT = 50  # what a chunk hears beyond its joints
FADE = 2  # 20 ms around a joint
_SEARCH = 200  # how far from its place a joint may move to a quiet moment


@runtime_checkable
class Vocoder(Protocol):
    """Turns an unscaled log-mel [m, 80] into a float32 waveform [160 m] at 16 kHz."""

    def __call__(self, log_mel: Float[np.ndarray, "m 80"]) -> Float[np.ndarray, "n"]:
        """The waveform, n = 160 m."""
        ...


class GriffinLim:
    """Needs no training.

    Args:
        iterations: of phase estimation.
    """

    def __init__(self, iterations: int):
        self.iterations = iterations
        # The first call loads and compiles what librosa needs, which takes seconds and belongs to no clip.
        self(np.zeros((CONTEXT, N_MELS), np.float32))

    def __call__(self, log_mel: Float[np.ndarray, "m 80"]) -> Float[np.ndarray, "n"]:
        """The waveform, n = 160 m."""
        from v2s_jax.features.griffin_lim import griffin_lim

        # Nothing spoken is louder; without a bound an untrained model's mel would overflow.
        return griffin_lim(np.minimum(log_mel, 2 * LOG_CEILING), self.iterations)


def make_vocoder(config: ConfigDict) -> Vocoder:
    """The vocoder that a `synthesis` section names: griffin_lim, or a trained one by name or path.

    Raises:
        V2SError: there is no such vocoder.
    """
    if config.vocoder == GRIFFIN_LIM:
        return GriffinLim(config.griffin_lim_iterations)
    from v2s_jax.synthesis.neural_vocoder import NeuralVocoder

    try:
        return NeuralVocoder(config.vocoder)
    except V2SError as error:
        raise V2SError(
            f"The vocoder {config.vocoder!r} is neither {GRIFFIN_LIM} nor a usable trained one: {error}"
        ) from error


def sharpen(log_mel: Float[np.ndarray, "m 80"], contrast: float) -> Float[np.ndarray, "m 80"]:
    """A mel whose deviations from each bin's mean over the clip are `contrast` times as large, nothing below the floor.

    Mels predicted by regression vary less than real ones; giving the variance back is an old remedy (Silen et al. 2012,
    "Ways to implement global variance in statistical speech synthesis"). 1 changes nothing.
    """
    if contrast == 1:
        return log_mel
    mean = log_mel.mean(0, keepdims=True)
    return np.maximum(mean + np.float32(contrast) * (log_mel - mean), LOG_FLOOR)


def vocode(vocoder: Vocoder, log_mel: Float[np.ndarray, "m 80"], chunk: int = CHUNK) -> Float[np.ndarray, "n"]:
    """The waveform of a log-mel of any length in the memory of one chunk, besides mel and waveform themselves.

    Chunks meet at the quietest moment near their nominal joints, where a change of phase is least heard.

    Args:
        vocoder: used on up to about `chunk` frames at once.
        log_mel: natural-log mel, unscaled.
        chunk: mel frames, more than twice the context.

    Returns:
        float32 waveform, n = 160 m.
    """
    windows = quiet_windows(log_mel, chunk)
    pieces = cross_fade(windows, _in_phase(vocoder, log_mel, windows), HOP_LENGTH)
    return np.concatenate(list(pieces))


def quiet_windows(log_mel: Float[np.ndarray, "m 80"], chunk: int) -> list[Window]:
    """Chunks of about `chunk` mel frames, with context, that meet where the mel is quiet."""
    total = len(log_mel)
    if total <= chunk + CONTEXT:
        return [Window(0, total, 0, total)]
    count = -(-total // chunk)
    search = min(_SEARCH, chunk // 4)
    level = np.convolve(log_mel.mean(1), np.ones(FADE + 3) / (FADE + 3), mode="same")
    joints = []
    for index in range(1, count):
        place = index * total // count
        joints.append(place - search + int(np.argmin(level[place - search : place + search])))
    firsts = [0, *(joint - FADE // 2 for joint in joints)]
    lasts = [*(joint - FADE // 2 + FADE for joint in joints), total]
    return [Window(max(0, a - CONTEXT), min(total, b + CONTEXT), a, b) for a, b in zip(firsts, lasts, strict=True)]


def _in_phase(vocoder: Vocoder, log_mel: np.ndarray, windows: list[Window]) -> Iterator[np.ndarray]:
    """Each window's waveform, turned upside down where that fits the one before better: nobody hears a sign."""
    before, tail = None, np.zeros(0, np.float32)
    for window in windows:
        wave = vocoder(log_mel[window.start : window.stop])
        if before is not None:
            shared = HOP_LENGTH * (before.stop - window.start)
            if np.dot(tail[-shared:], wave[:shared]) < 0:
                wave = -wave
        before, tail = window, wave
        yield wave
