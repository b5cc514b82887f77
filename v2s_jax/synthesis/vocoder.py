"""Log-mel to waveform, whatever the length: vocoders by name, and one pass over a long mel in chunks."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from v2s_jax.constants import HOP_LENGTH, LOG_CEILING, LOG_FLOOR, N_MELS
from v2s_jax.errors import V2SError
from v2s_jax.synthesis import scratch
from v2s_jax.synthesis.batches import Joined, assembled
from v2s_jax.synthesis.windows import Window

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


def make_vocoder(config: ConfigDict, rows: int = 1) -> Vocoder:
    """The vocoder that a `synthesis` section names: griffin_lim, or a trained one by name or path.

    Args:
        config: the section.
        rows: mels that a trained one computes at once.

    Raises:
        V2SError: there is no such vocoder.
    """
    if config.vocoder == GRIFFIN_LIM:
        return GriffinLim(config.griffin_lim_iterations)
    from v2s_jax.synthesis.neural_vocoder import NeuralVocoder

    try:
        return NeuralVocoder(config.vocoder, rows)
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
    return scratch.blockwise(lambda mel: np.maximum(mean + np.float32(contrast) * (mel - mean), LOG_FLOOR), log_mel)


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
    [(_, wave)] = assembled([(0, Sounding(log_mel, chunk))], *batching(vocoder))
    if isinstance(wave, Exception):
        raise wave
    return wave


def batching(vocoder: Vocoder) -> tuple[Sequence[int], int, Callable[[list[np.ndarray], int], list[np.ndarray]]]:
    """A vocoder's ladder, the rows of its batches, and what computes one: one by one unless it says otherwise."""
    trained: Any = vocoder
    if hasattr(trained, "batch"):
        return trained.rungs, trained.rows, trained.batch
    return (), 1, lambda mels, _: [vocoder(mel) for mel in mels]


class Sounding:
    """A mel whose waveform is made in chunks, see `batches.assembled`.

    Args:
        log_mel: of any length.
        chunk: mel frames.
    """

    def __init__(self, log_mel: Float[np.ndarray, "m 80"], chunk: int = CHUNK):
        self.log_mel, self.windows = log_mel, quiet_windows(log_mel, chunk)
        self._joined = _InPhase(self.windows, HOP_LENGTH)

    def part(self, window: Window) -> Float[np.ndarray, "c 80"]:
        """The mel of a chunk."""
        return self.log_mel[window.start : window.stop]

    def add(self, index: int, wave: Float[np.ndarray, "n"]) -> None:
        """Takes the waveform of a chunk."""
        self._joined.add(index, wave)

    def result(self) -> Any:
        """The whole waveform."""
        return self._joined.rows


def longest_chunk(total: int, chunk: int = CHUNK) -> int:
    """Frames that a chunk of so long a mel has at most, context included."""
    if total <= chunk + CONTEXT:
        return total
    return -(-total // -(-total // chunk)) + 2 * (min(_SEARCH, chunk // 4) + CONTEXT + FADE)


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


class _InPhase(Joined):
    """Each chunk's waveform, turned upside down where that fits the one before better: nobody hears a sign."""

    def __init__(self, windows: list[Window], rate: int):
        super().__init__(windows, rate)
        self._windows, self._before = windows, np.zeros(0, np.float32)

    def _turned(self, index: int, output: np.ndarray) -> np.ndarray:
        if index:
            shared = HOP_LENGTH * (self._windows[index - 1].stop - self._windows[index].start)
            if np.dot(self._before[-shared:], output[:shared]) < 0:
                output = -output
        self._before = output[-2 * HOP_LENGTH * (CONTEXT + FADE) :].copy()  # all that neighbours share
        return output
