"""From one clip to one record: the crops and sound of `media`, the pitch and energy of `features`."""

from pathlib import Path

from v2s_jax.constants import SAMPLES_PER_FRAME
from v2s_jax.data.schema import Record
from v2s_jax.errors import BadClip
from v2s_jax.features.pitch import energy, pitch
from v2s_jax.media.audio import read_audio
from v2s_jax.media.clip import Clip


def record_of(clip: Clip, *, id: str, speaker: str, text: str, source: str) -> Record:
    """The record of a clip already loaded; without sound, `audio`, `pitch` and `energy` are None."""
    n_frames = len(clip.mouth)
    return Record(
        id=id,
        n_frames=n_frames,
        speaker=speaker,
        text=text,
        source=source,
        start_frame=0,
        end_frame=n_frames,
        coverage=clip.coverage,
        confidence=clip.confidence,
        mouth=clip.mouth,
        face=clip.faces,
        expression=clip.expression,
        audio=clip.audio,
        pitch=None if clip.audio is None else pitch(clip.audio),
        energy=None if clip.audio is None else energy(clip.audio),
    )


def record_of_sound(path: Path, *, id: str, speaker: str, text: str) -> Record:
    """The record of a file's sound alone, without any crops.

    Raises:
        BadClip: the file cannot be read or has no sound.
    """
    audio = read_audio(path, None)
    if audio is None or not len(audio):
        raise BadClip(f"{path}: expected a file with sound, found no sound track in it")
    n_frames = len(audio) // SAMPLES_PER_FRAME
    return Record(
        id=id,
        n_frames=n_frames,
        speaker=speaker,
        text=text,
        source=path.name,
        end_frame=n_frames,
        coverage=0.0,
        audio=audio,
        pitch=pitch(audio),
        energy=energy(audio),
    )
