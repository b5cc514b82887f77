"""Opening a media file safely, and its streams as (time, frame) pairs on one monotonic clock."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from v2s_jax.errors import BadClip

# A step back by more than this is a clock that was set anew (joined or wrapped files); less is jitter.
_CLOCK_RESET = 0.5  # seconds


def check_file(path: str | os.PathLike) -> Path:
    """The path of a readable file that is not empty.

    Raises:
        BadClip: the file is missing, a directory, unreadable or empty.
    """
    path = Path(path)
    if not path.exists():
        raise BadClip(f"{path}: there is no such file; check the path")
    if not path.is_file():
        raise BadClip(f"{path}: expected a video file, found a {'folder' if path.is_dir() else 'special file'}")
    if path.stat().st_size == 0:
        raise BadClip(f"{path}: the file is empty; expected a video file")
    if not os.access(path, os.R_OK):
        raise BadClip(f"{path}: the file cannot be read; check its permissions")
    return path


@contextlib.contextmanager
def open_container(path: str | os.PathLike) -> Iterator[Any]:
    """Opens a file for demuxing as an `av.container.InputContainer`.

    The demuxer gets the bytes of this one file and no protocol, so a playlist that calls itself .mp4 can make it fetch
    neither addresses nor other files.

    Raises:
        BadClip: `check_file` refuses it, or no demuxer recognises it.
    """
    import av

    path = check_file(path)
    # Titles that are not UTF-8 are no reason to refuse a clip; PyAV 19 no longer has, or needs, the option.
    lenient: Any = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))
        try:
            container = stack.enter_context(av.open(file, options={"protocol_whitelist": "none"}, **lenient))
        except (av.error.FFmpegError, ValueError) as error:
            if _lacks_index(path):
                raise BadClip(
                    f"{path}: the index of this mp4 is missing, the file was cut short; copy or record it again"
                ) from error
            raise BadClip(
                f"{path}: not a media file that can be decoded ({_reason(error)}); expected a video (mp4, mkv, mpg)"
            ) from error
        yield container


def video_stream(container: Any, path: Path, max_pixels: int) -> Any:
    """The main picture track, ready to decode.

    Raises:
        BadClip: there is none (cover art does not count), its codec is unknown, or its pictures are too large.
    """
    import av

    cover = av.stream.Disposition.attached_pic
    tracks = [s for s in container.streams.video if not s.disposition & cover and s.codec_context is not None]
    if not tracks:
        raise BadClip(f"{path}: the file has no picture track that can be decoded; expected a video of a talking face")
    best = container.streams.best("video")
    stream = best if best in tracks else tracks[0]
    context = stream.codec_context
    check_size(path, context.width, context.height, max_pixels)
    # The decoder itself refuses larger pictures, whatever the container's header promised.
    context.options = {"max_pixels": str(max_pixels)}
    # One picture at a time: frame threads would multiply the memory of an 8K picture by the number of cores.
    context.thread_type = "SLICE"
    return stream


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuses pictures above the limit.

    Raises:
        BadClip: width x height is more than `max_pixels`.
    """
    if width * height > max_pixels:
        raise BadClip(
            f"{path}: pictures of {width}x{height} pixels are above the limit of {max_pixels}; scale the video down"
        )


@dataclasses.dataclass
class Clock:
    """Frame times in seconds that never run backwards, from whatever timestamps the frames carry.

    A missing timestamp continues from the frame before. A clock that was set back (joined recordings) continues where
    it was. Small disorder is flattened.
    """

    last: float | None = None
    step: float = 0.0
    offset: float = 0.0

    def __call__(self, time: float | None, step: float) -> float:
        """Time of a frame in seconds, given its own timestamp (or None) and how long it lasts."""
        if self.last is not None:
            expected = self.last + self.step
            time = expected if time is None else time + self.offset
            if time < self.last - _CLOCK_RESET:
                self.offset += expected - time
                time = expected
            time = max(time, self.last)
        self.last, self.step = time or 0.0, step
        return self.last


def decode(container: Any, stream: Any, problems: list[str]) -> Iterator[Any]:
    """Frames of one stream in presentation order, passing over damaged packets.

    Args:
        container: what `open_container` gave.
        stream: one of its streams.
        problems: gets a sentence part for each kind of damage met.
    """
    import av

    damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            problems.append(f"reading stops early ({_reason(error)})")
            break
        if packet is None:
            break
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            damaged += 1
    if damaged:
        problems.append(f"{damaged} damaged {stream.type} packet{'s' if damaged > 1 else ''} passed over")


def _lacks_index(path: Path) -> bool:
    """Whether a file begins as an mp4 but its chain of boxes ends without a whole `moov` (ISO/IEC 14496-12, 4.2)."""
    size, place, first = path.stat().st_size, 0, b""
    with open(path, "rb") as file:
        while place + 8 <= size:
            file.seek(place)
            header = file.read(16)
            length, name = int.from_bytes(header[:4]), header[4:8]
            length = int.from_bytes(header[8:16]) if length == 1 else length
            first, place = first or name, place + length
            if length < 8 or (name == b"moov" and place <= size):
                return False
    return first == b"ftyp"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
