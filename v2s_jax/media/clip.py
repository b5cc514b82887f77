"""A clip as everything downstream needs it: mouth crops, face crops, sound, and how far to trust them."""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from v2s_jax.constants import EXPRESSION_SIZE, FACE_CROPS, FACE_SIZE, MOUTH_SIZE, VIDEO_FPS
from v2s_jax.errors import BadClip
from v2s_jax.media import align
from v2s_jax.media.audio import read_audio
from v2s_jax.media.detect import DETECTION_SIZE, SMALLEST_FACE, FaceDetector
from v2s_jax.media.limits import Limits
from v2s_jax.media.track import Track, Tracker, people, spread
from v2s_jax.media.upright import within
from v2s_jax.media.video import Reading, VideoInfo, probe, read_frames
from v2s_jax.progress import Watch, watched

_CHUNK = 16  # pictures held at once while searching; 16 of 1920x1080 are 100 MB
_FINEST = 1.25  # source pixels to one crop pixel beyond which pictures are first scaled down, against aliasing
_LOW_COVERAGE = 0.5
_MISSING_END = 0.5  # seconds by which a file may fall short of what it states without being called truncated
Room = Callable[[str, tuple[int, ...], Any], UInt8[np.ndarray, "..."] | None]


@dataclasses.dataclass(frozen=True)
class Clip:
    """One talking face at 25 frames a second; nothing is ever cut out of the timeline.

    Attributes:
        path: the file.
        mouth: grey mouth crops, AV-HuBERT's alignment.
        faces: aligned RGB identity crops, spread over the clip.
        expression: grey crops of the whole face, aligned like those and as steady as the mouth's.
        audio: 16 kHz waveform in [-1, 1], sample 0 at the first picture; None without a sound track (or not asked for).
        coverage: share of frames in which this face was detected; the others are interpolated.
        confidence: mean score of those detections (dlib's margin: 0 doubtful, above 1 clear).
        n_faces: people seen in the clip.
        warnings: what a user should know, a sentence each.
        info: what the file says about itself.
        boxes: the face in each frame, interpolated where missed: left, top, right, bottom in upright pixels.
        detected: frames in which the face was detected.
    """

    path: Path
    mouth: UInt8[np.ndarray, "T 96 96"]
    faces: UInt8[np.ndarray, "K 112 112 3"]
    expression: UInt8[np.ndarray, "T 48 48"]
    audio: Float[np.ndarray, "n"] | None
    coverage: float
    confidence: float
    n_faces: int
    warnings: tuple[str, ...]
    info: VideoInfo
    boxes: Float[np.ndarray, "T 4"]
    detected: Bool[np.ndarray, "T"]


def load_clip(
    path: str | os.PathLike,
    *,
    face: int | None = None,
    audio: bool = True,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    landmarks: int = 5,
    room: Room | None = None,
    watch: Watch | None = None,
) -> Clip:
    """Reads a clip: finds the face, cuts its crops out, lays the sound against the picture.

    The file is decoded twice (search, then cut), so memory stays that of a second of pictures plus the result.

    Args:
        path: any video file the decoder opens.
        face: whom to read when several people are seen, counted from 1 from left to right; by default the steadiest
            largest face.
        audio: whether to read the sound.
        limits: bounds on length and picture size.
        landmarks: 5 (public domain model, mouth at the mean face's place) or 68 (AV-HuBERT's own recipe; the model was
            trained on iBUG 300-W and is for research use only).
        room: gives an array for a field's crops by the field's name, shape and dtype, such as one in a file, or None
            for one in memory.
        watch: told how far it is.

    Raises:
        BadClip: the file cannot be used: missing, empty, not a video, no picture, no face, no such face, too long, too
            large.
    """
    path = Path(path)
    info = probe(path, limits)
    reading = Reading()
    tracks, n_frames, searched = _search(path, info, limits, reading, landmarks, watch)
    seen = people(tracks, n_frames)
    track = _choose(path, seen, face, n_frames)
    scale = np.array([info.width, info.height]) / searched
    points, boxes, detected = _timeline(track, n_frames, scale)
    mouth, faces, expression = _cut(path, info, limits, points, spread(track, FACE_CROPS), room, watch)
    problems: list[str] = []
    sound = read_audio(path, n_frames, start=info.start, problems=problems) if audio and info.has_audio else None
    coverage = float(detected.mean())
    return Clip(
        path=path,
        mouth=mouth,
        faces=faces,
        expression=expression,
        audio=sound,
        coverage=coverage,
        confidence=float(track.scores.mean()),
        n_faces=len(seen),
        warnings=_warnings(info, reading, problems, coverage, len(seen), face),
        info=info,
        boxes=boxes,
        detected=detected,
    )


def _search(
    path: Path, info: VideoInfo, limits: Limits, reading: Reading, landmarks: int, watch: Watch | None
) -> tuple[list[Track], int, tuple[int, int]]:
    """First pass: tracks of all faces, the number of frames, and the size of the pictures searched."""
    detector, tracker, count = FaceDetector(landmarks), Tracker(), 0
    size = within(info.width, info.height, DETECTION_SIZE)
    pictures = read_frames(path, limits.max_seconds, size=size, limits=limits, reading=reading)
    told = watched(pictures, watch, "finding the face", round(VIDEO_FPS * info.duration))
    with contextlib.closing(pictures):
        while chunk := list(itertools.islice(told, _CHUNK)):
            for picture, found in zip(chunk, detector(chunk), strict=True):
                tracker.add(count, found, picture)
                count += 1
    return tracker.tracks, count, size


def _choose(path: Path, seen: list[Track], face: int | None, n_frames: int) -> Track:
    if not seen:
        raise BadClip(
            f"{path}: no face was found in {n_frames} frames; expected a face seen from the front and at least "
            f"about {SMALLEST_FACE // 2} pixels wide (more in pictures above 960 pixels)"
        )
    if face is None:
        return max(seen, key=Track.weight)
    if not 1 <= face <= len(seen):
        raise BadClip(f"{path}: face {face} was asked for, but {len(seen)} can be seen; count from 1, left to right")
    return seen[face - 1]


def _timeline(track: Track, n_frames: int, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Landmarks and boxes of every frame in upright pixels, and in which frames they were detected."""
    detected = np.zeros(n_frames, bool)
    detected[track.frames] = True
    points = np.full((n_frames, track.landmarks.shape[1], 2), np.nan)
    corners = np.full((n_frames, 2, 2), np.nan)
    # Landmarks are at pixel centres, boxes at pixel edges.
    points[track.frames] = (track.landmarks + 0.5) * scale - 0.5
    corners[track.frames] = track.boxes.reshape(-1, 2, 2) * scale
    return align.interpolate(points), align.interpolate(corners).reshape(n_frames, 4), detected


def _cut(
    path: Path,
    info: VideoInfo,
    limits: Limits,
    points: np.ndarray,
    identity: np.ndarray,
    room: Room | None,
    watch: Watch | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second pass: the mouth and the expression of every frame, and the face of a few."""
    cover = align.pixels_covered(align.mouth_transforms(points))
    longest = max(info.width, info.height)
    size = within(info.width, info.height, longest / cover if cover > _FINEST else longest)
    points = (points + 0.5) * (np.array(size) / (info.width, info.height)) - 0.5
    mouths, expressions = align.mouth_transforms(points), align.expression_transforms(points)
    block = max(1, min(round(align.pixels_covered(expressions)), *size))
    mouth, expression = (
        _zeros((len(points), side, side), name, room)
        for name, side in (("mouth", MOUTH_SIZE), ("expression", EXPRESSION_SIZE))
    )
    faces = np.zeros((len(identity), FACE_SIZE, FACE_SIZE, 3), np.uint8)
    pictures: Iterator[np.ndarray] = read_frames(path, limits.max_seconds, size=size, limits=limits)
    for index, picture in enumerate(watched(pictures, watch, "cutting it out", len(points))):
        mouth[index] = align.grey(align.sample(picture, mouths[index], MOUTH_SIZE))
        expression[index] = align.sample_small(picture, expressions[index], EXPRESSION_SIZE, block)
        for crop in np.flatnonzero(identity == index):
            transform = align.face_transform(points[index])
            faces[crop] = np.round(align.sample(picture, transform, FACE_SIZE)).astype(np.uint8)
    return mouth, faces, expression


def _zeros(shape: tuple[int, ...], name: str, room: Room | None) -> np.ndarray:
    given = room(name, shape, np.uint8) if room is not None else None
    return np.zeros(shape, np.uint8) if given is None else given


def _warnings(
    info: VideoInfo, reading: Reading, problems: list[str], coverage: float, n_faces: int, face: int | None
) -> tuple[str, ...]:
    warnings = [problem for problem in (*reading.problems, *problems)]
    if reading.end < info.duration - _MISSING_END:
        warnings.append(
            f"the picture ends at {reading.end:.2f} s of the {info.duration:.2f} s the file states (truncated?); "
            "the readable part is used"
        )
    if coverage < _LOW_COVERAGE:
        warnings.append(f"the face was detected in {coverage:.0%} of the frames only; the others are interpolated")
    if n_faces > 1 and face is None:
        warnings.append(
            f"{n_faces} people are seen; the steadiest largest face is used (face=N chooses, 1 is leftmost)"
        )
    return tuple(warnings)
