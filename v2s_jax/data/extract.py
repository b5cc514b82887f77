"""From one clip to one record: the crops and sound of `media`, the pitch and energy of `features`."""

from v2s_jax.data.schema import Record
from v2s_jax.features.pitch import energy, pitch
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
        audio=clip.audio,
        pitch=None if clip.audio is None else pitch(clip.audio),
        energy=None if clip.audio is None else energy(clip.audio),
    )
