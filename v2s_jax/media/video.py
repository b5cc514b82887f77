"""Pictures of a clip: upright RGB, square pixels, resampled to 25 a second by their timestamps, streamed."""

import dataclasses
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from v2s_jax.constants import VIDEO_FPS
from v2s_jax.errors import BadClip
from v2s_jax.media.container import Clock, check_size, decode, open_container, video_stream
from v2s_jax.media.limits import Limits
from v2s_jax.media.upright import Upright

_TICK = 1 / VIDEO_FPS
_LONGEST_LAST_FRAME = 1.0  # seconds; a stated duration of the last picture beyond this is not believed


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a file says about its picture track.

    Attributes:
        duration: seconds, 0 where the file does not say.
        width: pixels of the picture as it is looked at (after rotation and for square pixels).
        height: pixels, likewise.
        fps: pictures per second on average, 0 where unknown.
        rotation: degrees anticlockwise that the stored picture is turned by to stand upright (0, 90, 180, 270).
        has_audio: whether there is a sound track.
        codec: name of the picture codec.
        start: seconds, time of the first picture on the file's clock.
    """

    duration: float
    width: int
    height: int
    fps: float
    rotation: int
    has_audio: bool
    codec: str
    start: float


@dataclasses.dataclass
class Reading:
    """What is learned while pictures are read.

    Attributes:
        problems: damage met, as parts of a sentence.
        end: seconds from the first picture to the end of the last.
    """

    problems: list[str] = dataclasses.field(default_factory=list)
    end: float = 0.0


def probe(path: str | os.PathLike, limits: Limits = Limits()) -> VideoInfo:  # noqa: B008 (frozen)
    """Describes a clip from its header and first picture.

    Raises:
        BadClip: missing, empty, not a media file, no picture track, or no picture that decodes.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = video_stream(container, path, limits.max_pixels)
        frame = next(_checked(container, stream, path, limits, []), None)
        if frame is None:
            raise BadClip(f"{path}: no picture of the video track can be decoded; the file may be damaged")
        upright = Upright.of(frame, stream)
        duration = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1e6
        return VideoInfo(
            duration=float(max(duration, 0)),
            width=upright.width,
            height=upright.height,
            fps=float(stream.average_rate or stream.guessed_rate or 0),
            rotation=upright.turns * 90,
            has_audio=bool(container.streams.audio),
            codec=stream.codec_context.name,
            start=float(frame.time or 0.0),
        )


def read_frames(
    path: str | os.PathLike,
    max_seconds: float | int = Limits.max_seconds,
    *,
    size: tuple[int, int] | None = None,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    reading: Reading | None = None,
) -> Generator[UInt8[np.ndarray, "H W 3"], None, None]:
    """Pictures at 25 a second, from the time of the first one on: at each 1/25 s the nearest picture.

    A picture that stays on screen is repeated (the same array object), and none is shown more than half a tick before
    its time. Memory is that of a few pictures, whatever the length.

    Args:
        path: the clip.
        max_seconds: longest clip accepted.
        size: (width, height) in pixels to scale to by area averaging; the picture's own by default.
        limits: the other bounds.
        reading: filled with the damage met and the true duration.

    Yields:
        Upright RGB pictures.

    Raises:
        BadClip: as `probe`, or the clip is longer than `max_seconds`.
    """
    path, reading = Path(path), reading or Reading()
    limits = dataclasses.replace(limits, max_seconds=max_seconds)
    with open_container(path) as container:
        stream = video_stream(container, path, limits.max_pixels)
        stated = (container.duration or 0) / 1e6
        if stated > max_seconds + 1:
            raise _too_long(path, limits)
        frames = _checked(container, stream, path, limits, reading.problems)
        last, picture, upright = None, np.zeros((0, 0, 3), np.uint8), None
        for frame in _at_ticks(_timed(frames, stream), path, limits, reading):
            if frame is not last:
                upright = upright or Upright.of(frame, stream)
                last, picture = frame, upright.rgb(frame, size or (upright.width, upright.height))
            yield picture
    if last is None:
        raise BadClip(f"{path}: no picture of the video track can be decoded; the file may be damaged")


def _checked(container: Any, stream: Any, path: Path, limits: Limits, problems: list[str]) -> Iterator[Any]:
    """Decoded frames within the limits on their size and number."""
    for count, frame in enumerate(decode(container, stream, problems)):
        check_size(path, frame.width, frame.height, limits.max_pixels)
        if count > limits.max_fps * limits.max_seconds:
            raise _too_long(path, limits)
        yield frame


def _too_long(path: Path, limits: Limits) -> BadClip:
    return BadClip(f"{path}: longer than the limit of {limits.max_seconds:g} seconds; cut it into parts")


def _timed(frames: Iterator[Any], stream: Any) -> Iterator[tuple[float, float, Any]]:
    """(time, duration, frame) in seconds on a clock that never runs back."""
    clock = Clock()
    nominal = float(1 / stream.average_rate) if stream.average_rate else _TICK
    for frame in frames:
        own = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else nominal
        step = min(own, _LONGEST_LAST_FRAME)
        yield clock(frame.time, step), step, frame


def _at_ticks(timed: Iterator[tuple[float, float, Any]], path: Path, limits: Limits, reading: Reading) -> Iterator[Any]:
    """The frame nearest to each 1/25 s, none more than half a tick early."""
    shown, start, ticks, since, step = None, 0.0, 0, 0.0, 0.0

    def pending(until: float) -> Iterator[Any]:
        nonlocal ticks
        while start + ticks * _TICK < until:
            if ticks * _TICK > limits.max_seconds:
                raise _too_long(path, limits)
            ticks += 1
            yield shown

    for time, last_step, frame in timed:
        if shown is None:
            start = time
        else:
            # A microsecond of slack: a tick on the boundary goes to the earlier frame, whatever the rounding.
            yield from pending(max((since + time) / 2, time - _TICK / 2) + 1e-6)
        shown, since, step = frame, time, last_step
    if shown is not None:
        reading.end = since + step - start
        yield from pending(max(since + step - _TICK / 2, start + 1e-6))
