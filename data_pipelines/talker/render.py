"""One clip of a synthetic talker: picture, sound, and when each word is said."""

import dataclasses
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipelines.talker.dials import dialled
from data_pipelines.talker.face import frames
from data_pipelines.talker.identities import identity as person
from data_pipelines.talker.scene import Scene, move, random_scene
from data_pipelines.talker.speech import Utterance, utter
from data_pipelines.talker.visemes import mouth_track
from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.media.mux import write_video

_EXPOSURE = 3  # moments averaged within a frame's time


@dataclasses.dataclass(frozen=True)
class Rendered:
    """What a clip contains: (start, end, word) in seconds, its frames and its text."""

    words: list[tuple[float, float, str]]
    n_frames: int
    text: str


@dataclasses.dataclass(frozen=True)
class Performance:
    """A clip before it is written: `frames` uint8 [height, width, 3] RGB one by one, the mouth's track, the speech."""

    frames: Iterator[np.ndarray]
    track: np.ndarray
    utterance: Utterance


def perform(
    identity: int,
    sentence: str,
    seed: int = 0,
    size: tuple[int, int] = (360, 288),
    fps: float = 25,
    scene: Scene | None = None,
    dials: str = "",
) -> Performance:
    """Plays a sentence; the same arguments give the same frames and samples, to the byte.

    Args:
      identity: number of the person.
      sentence: a GRID code, a GRID sentence or any English text.
      seed: varies pauses, pose, light and noise.
      size: width and height in pixels.
      fps: frames a second.
      scene: how it is shot; drawn from the seed if none is given.
      dials: what makes it harder, in the words of `dials.py`; all else stays the same.

    Raises:
      V2SError: no such identity or dial, or the `talker` extra is missing.
    """
    who = person(identity)
    rng = np.random.default_rng([seed, identity, zlib.crc32(sentence.encode())])
    utterance = utter(sentence, who.voice, rng)
    scene = dialled(scene or random_scene(rng), dials)
    n_frames = round(utterance.duration * fps)
    moments = (np.arange(n_frames * _EXPOSURE) + 0.5) / (fps * _EXPOSURE)
    track = mouth_track(utterance.phonemes, moments).reshape(n_frames, _EXPOSURE, -1).mean(axis=1)
    motion = move(scene, n_frames, fps, rng)
    return Performance(frames(who, scene, motion, track, size, rng), track, utterance)


def render_clip(
    path: str | Path,
    *,
    identity: int,
    sentence: str,
    seed: int = 0,
    size: tuple[int, int] = (360, 288),
    fps: float = 25,
    sound: bool = True,
    scene: Scene | None = None,
    dials: str = "",
) -> Rendered:
    """Writes a clip as mp4; arguments as in `perform`, `sound=False` leaves the sound track out.

    Raises:
      V2SError: no such identity or dial, the `talker` extra is missing, or the file cannot be written.
    """
    played = perform(identity, sentence, seed, size, fps, scene, dials)
    wave = played.utterance.wave if sound else None
    write_video(path, played.frames, fps, wave, sample_rate=SAMPLE_RATE)
    return Rendered(played.utterance.words, len(played.track), played.utterance.text)
