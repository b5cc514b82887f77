"""What a score owes to the room behind the speech, which no face tells anything about."""

import numpy as np
from jaxtyping import Float

from v2s_jax.features.envelope import bands


def without_room(log_mel: Float[np.ndarray, "m 80"], decibels: float) -> Float[np.ndarray, "m 80"]:
    """The mel with its frames that far below the loudest replaced by their mean magnitudes: speech, and an even hum.

    Spoken and scored it is what speech without an error would score, had one to guess the noise of the recording's
    pauses. ESTOI, for one, takes those in wherever they are less than 40 dB below the speech, low hum included.

    Args:
        log_mel: natural-log mel.
        decibels: loudness is compared in the third-octave bands of ESTOI, from 135 Hz on.
    """
    level = 10 * np.log10((np.exp(2 * log_mel) @ bands()).sum(1) + 1e-12)
    quiet = level < level.max() - decibels
    if not quiet.any():
        return log_mel
    hum = np.log(np.exp(log_mel[quiet]).mean(0))
    return np.where(quiet[:, None], hum, log_mel)
