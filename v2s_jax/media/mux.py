"""Pictures and sound into a file people can play, the sound starting exactly with the picture."""

import fractions
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
from jaxtyping import Float, UInt8

from v2s_jax.constants import SAMPLE_RATE, VIDEO_FPS
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing
from v2s_jax.media.limits import Limits
from v2s_jax.media.upright import within
from v2s_jax.media.video import probe, read_frames
from v2s_jax.progress import Watch, watched

_LONGEST_SIDE = 1920  # pixels of a picture written back with new sound
_AUDIO_BLOCK = 1024  # samples handed to the encoder at a time, an AAC frame


def write_video(
    path: str | os.PathLike,
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    fps: float | int,
    waveform: Float[np.ndarray, "n"] | None,
    sample_rate: int = SAMPLE_RATE,
) -> None:
    """Writes an mp4 (H.264 yuv420p, AAC), in one piece or not at all.

    The encoder delay of AAC is declared in the file's edit list, so sample 0 plays with picture 0.

    Args:
        path: the file to write.
        frames: RGB pictures of one size, streamed; odd sizes lose their last row or column (yuv420p needs even ones).
        fps: pictures per second.
        waveform: sound in [-1, 1] (clipped to it), or None for a silent film.
        sample_rate: of the waveform, in Hz.

    Raises:
        V2SError: there are no frames, or the file cannot be written (no such folder, no permission, full disk).
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise V2SError(f"{path}: there are no frames to write; expected at least one")
    with replacing(path) as file:
        _encode(file, itertools.chain([first], frames), first.shape, fps, waveform, sample_rate)


def put_sound_back(
    source_video: str | os.PathLike,
    waveform: Float[np.ndarray, "n"],
    path: str | os.PathLike,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    watch: Watch | None = None,
) -> None:
    """Writes the picture of a clip with new sound, as an mp4.

    The picture is encoded anew: upright, at the 25 frames a second that the sound was made for (so that both stay
    together whatever the source's timestamps), and at most 1920 pixels long.

    Args:
        source_video: the clip whose picture is used.
        waveform: the new sound, 16 kHz in [-1, 1], sample 0 at the first picture.
        path: the file to write.
        limits: bounds on the source.
        watch: told how far it is.

    Raises:
        BadClip: the source cannot be read.
        V2SError: the file cannot be written.
    """
    info = probe(source_video, limits)
    size = within(info.width, info.height, _LONGEST_SIDE)
    frames = read_frames(source_video, limits.max_seconds, size=size, limits=limits)
    told = watched(frames, watch, "writing the video", round(len(waveform) / SAMPLE_RATE * VIDEO_FPS))
    write_video(path, told, VIDEO_FPS, waveform)


def _encode(
    file: IO[bytes],
    frames: Iterator[np.ndarray],
    shape: tuple[int, ...],
    fps: float | int,
    waveform: np.ndarray | None,
    sample_rate: int,
) -> None:
    import av

    with av.open(file, "w", format="mp4") as container:
        rate = fractions.Fraction(fps).limit_denominator(1001)
        video = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "18"})
        video.height, video.width = (side - side % 2 for side in shape[:2])
        video.pix_fmt = "yuv420p"
        sound: Any = None
        blocks: Iterator[Any] = iter(())
        if waveform is not None and len(waveform):
            sound, blocks = container.add_stream("aac", rate=sample_rate, layout="mono"), _blocks(waveform, sample_rate)
        until = 0.0
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(frame[: video.height, : video.width]), format="rgb24"
            )
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(video.encode(picture))
            # Sound is written along with its pictures, so that a player need not seek.
            while until <= (index + 1) / rate and (block := next(blocks, None)) is not None:
                container.mux(sound.encode(block))
                until += _AUDIO_BLOCK / sample_rate
        container.mux(video.encode())
        for block in blocks:
            container.mux(sound.encode(block))
        if sound is not None:
            container.mux(sound.encode())


def _blocks(waveform: np.ndarray, sample_rate: int) -> Iterator[Any]:
    import av

    for start in range(0, len(waveform), _AUDIO_BLOCK):
        samples = np.clip(np.nan_to_num(waveform[start : start + _AUDIO_BLOCK]), -1, 1).astype(np.float32)
        block = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = sample_rate, start, fractions.Fraction(1, sample_rate)
        yield block
