"""What is done with the files that were sent, all of it in `limited` processes: imports nothing of the network."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from v2s_jax.errors import BadClip
from v2s_jax.media.audio import read_audio
from v2s_jax.media.clip import Clip, load_clip
from v2s_jax.media.limits import Limits
from v2s_jax.media.mux import put_sound_back

LIMITS = Limits(max_seconds=600, max_pixels=4096 * 2304, max_fps=240)
_VOICE_SECONDS = 60  # of a recording of a voice that are listened to


def clip_of(path: Path, face: int | None) -> Clip:
    """The clip in a file, without its sound, which synthesis must not hear.

    Raises:
        BadClip: it cannot be used.
    """
    return load_clip(path, face=face, audio=False, limits=LIMITS)


def voice_in(path: Path) -> Float[np.ndarray, "n"]:
    """The beginning of a sound file, or of a video's sound: mono float32 at 16 kHz in [-1, 1].

    Raises:
        BadClip: there is no sound in it.
    """
    sound = read_audio(path, None, max_seconds=_VOICE_SECONDS)
    if sound is None or not len(sound):
        raise BadClip(f"{path}: expected the recording of a voice, found no sound in it")
    return sound


def film(source: Path, waveform: Float[np.ndarray, "n"], path: Path) -> None:
    """Writes the pictures of a clip with new sound as an mp4; raises as `media.mux.put_sound_back`."""
    put_sound_back(source, waveform, path, LIMITS)
