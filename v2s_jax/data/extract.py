"""From one clip to one record: the crops and sound of `media`, the pitch and energy of `features`."""

from os import PathLike

from v2s_jax.data.schema import Record
from v2s_jax.features.pitch import energy, pitch
from v2s_jax.media.clip import Clip, load_clip


def extract(
    path: str | PathLike[str],
    *,
    id: str = "",
    speaker: str = "",
    text: str = "",
    source: str = "",
    face: int | None = None,
) -> Record:
    """Reads a clip and computes everything a record carries that needs no trained model.

    Args:
        path: the clip.
        id: the record's id; the path when empty.
        speaker: who speaks.
        text: what is said.
        source: where the clip came from, as kept in the record; the path when empty.
        face: which face track to follow; the steadiest largest one when None.

    Raises:
        BadClip: the clip cannot be read or shows no face.
    """
    clip = load_clip(path, face=face)
    return record_of(clip, id=id or str(path), speaker=speaker, text=text, source=source or str(path))


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
