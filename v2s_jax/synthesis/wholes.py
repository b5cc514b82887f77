"""A clip on its way through the network and on its way through the vocoder, see `batches.assembled`."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from v2s_jax.constants import HOP_LENGTH, MEL_PER_FRAME, N_MELS, SAMPLE_RATE, UNITS_PER_FRAME
from v2s_jax.data.levels import look_up
from v2s_jax.errors import BadClip
from v2s_jax.features.mel import log_mel
from v2s_jax.progress import Along
from v2s_jax.synthesis import scratch
from v2s_jax.synthesis.batches import Joined
from v2s_jax.synthesis.network import Face, Output
from v2s_jax.synthesis.speech import Speech
from v2s_jax.synthesis.vocoder import Sounding
from v2s_jax.synthesis.windows import Window, plan


class Made(NamedTuple):
    """What the network made of one clip, and the seconds that it took.

    Attributes:
        rows: mel or waveform.
        looking: seconds spent on whose face it is.
        compiling: on compiling, or waiting for it.
        computing: on the network.
        units: of the content, if they were asked for.
        name: of the clip.
    """

    rows: Float[np.ndarray, "n ..."]
    looking: float = 0.0
    compiling: float = 0.0
    computing: float = 0.0
    units: Int[np.ndarray, "m"] | None = None
    name: str = ""


class Seen:
    """A clip's face, from which the network makes `rate` rows to a frame, window by window.

    Args:
        face: with all that the network looks at.
        name: of the clip, for errors.
        settings: the `synthesis` section.
        rate: of the network.
        looking: seconds spent so far.
    """

    def __init__(self, face: Face, name: str, settings: ConfigDict, rate: int, looking: float):
        self.face, self.name, self.looking = face, name, looking
        self.windows = plan(len(face.mouth), settings.window, settings.overlap, settings.fade)
        self._rows, self._units = Joined(self.windows, rate), Joined(self.windows, UNITS_PER_FRAME)
        self._compiling = self._computing = 0.0
        self._along, self._grey = Along(name), look_up(face.mouth, settings.levels)

    def part(self, window: Window) -> Face:
        """The face in a window, as light or dark as those that the model knows."""
        self._along("speaking", window.start, len(self.face.mouth))
        face = self.face.cut(window.start, window.stop)
        return face if self._grey is None else face._replace(mouth=self._grey[face.mouth])

    def add(self, index: int, output: Output) -> None:
        """Takes the network's output for a window.

        Raises:
            BadClip: it is not finite.
        """
        if not np.isfinite(output.rows).all():
            raise BadClip(
                f"{self.name}: the model's output is not finite; its weights are damaged or training diverged"
            )
        self._rows.add(index, output.rows)
        if output.units is not None:
            self._units.add(index, output.units)
        self._compiling += output.compiling
        self._computing += output.computing

    def result(self) -> Made:
        """The whole clip's."""
        units = self._units.rows if len(self._units.rows) else None
        return Made(self._rows.rows, self.looking, self._compiling, self._computing, units, self.name)


class Timed(NamedTuple):
    """The waveform of a chunk, and the seconds that it took."""

    wave: Float[np.ndarray, "n"]
    compiling: float
    computing: float


class Voiced(Sounding):
    """A made mel on its way through the vocoder.

    Args:
        made: of a clip.
        log_mel: what the vocoder is given of it.
    """

    def __init__(self, made: Made, log_mel: Float[np.ndarray, "m 80"]):
        super().__init__(log_mel)
        self.made, self._compiling, self._computing = made, 0.0, 0.0
        self._along = Along(made.name)

    def part(self, window: Window) -> Float[np.ndarray, "c 80"]:
        """The mel of a chunk."""
        self._along("making it heard", window.start // MEL_PER_FRAME, len(self.log_mel) // MEL_PER_FRAME)
        return super().part(window)

    def add(self, index: int, output: Timed) -> None:  # type: ignore[override]
        """Takes the waveform of a chunk."""
        super().add(index, output.wave)
        self._compiling += output.compiling
        self._computing += output.computing

    def result(self) -> tuple[Made, Float[np.ndarray, "m 80"], Float[np.ndarray, "n"], float]:
        """All of the clip with its mel, its waveform and the seconds spent on the latter, those of compiling apart."""
        made = self.made._replace(compiling=self.made.compiling + self._compiling)
        return made, self.log_mel, super().result(), self._computing


def speech_of(
    made: Made, log_mel: Float[np.ndarray, "m 80"], waveform: Float[np.ndarray, "n"], vocoding: float
) -> Speech:
    """A clip's speech, turned down where it is above full scale; `vocoding` is the seconds that its sound took."""
    # Louder than full scale would be clipped in the file; a softer clip sounds better than a clipped one.
    peak = np.float32(max(1.0, float(waveform.max()), -float(waveform.min())))
    waveform = scratch.blockwise(lambda block: (block / peak).astype(np.float32), waveform)
    rare = {"face": made.looking, "compile": made.compiling}
    timings = {stage: spent for stage, spent in rare.items() if spent > 0.01}
    timings |= {"network": made.computing, "vocoder": vocoding}
    return Speech(waveform, SAMPLE_RATE, log_mel, timings, units=made.units)


def long_log_mel(waveform: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 80"]:
    """`log_mel` of a waveform of any length in the memory of a minute."""
    minute, around = 60 * SAMPLE_RATE, 4 * HOP_LENGTH
    if len(waveform) <= 2 * minute:
        return log_mel(waveform)
    mel = scratch.empty((len(waveform) // HOP_LENGTH, N_MELS), np.float32)
    for start in range(0, len(waveform), minute):
        first, stop = max(0, start - around), min(len(waveform), start + minute)
        found = log_mel(np.asarray(waveform[first : stop + around]))[(start - first) // HOP_LENGTH :]
        mel[start // HOP_LENGTH : stop // HOP_LENGTH] = found[: (stop - start) // HOP_LENGTH]
    return mel
