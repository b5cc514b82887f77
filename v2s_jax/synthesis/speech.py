"""What a synthesizer gives for a clip."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from v2s_jax.media.clip import Clip


@dataclasses.dataclass(frozen=True)
class Speech:
    """What was said, by the model's guess.

    Attributes:
        waveform: float32 in [-1, 1], 640 samples to a video frame.
        sample_rate: Hz.
        log_mel: natural-log mel, unscaled: what the vocoder was given, or that of a waveform system's output.
        timings: seconds by stage: read (decoding, faces, crops; where that was done here), face (whose it is, for
            systems that ask), compile (the first time for a length), network, vocoder.
        clip: the clip it was made from, None for a record.
        units: of the content, 50 a second, of systems that were asked for them.
    """

    waveform: Float[np.ndarray, "n"]
    sample_rate: int
    log_mel: Float[np.ndarray, "m 80"]
    timings: dict[str, float]
    clip: Clip | None = None
    units: Int[np.ndarray, "p"] | None = None

    @property
    def seconds(self) -> float:
        """Length of the speech."""
        return len(self.waveform) / self.sample_rate


def real_time_factor(timings: dict[str, float], seconds: float) -> float:
    """Seconds of work to a second of speech, compilation apart; below 1 is faster than real time."""
    return sum(spent for stage, spent in timings.items() if stage != "compile") / seconds
