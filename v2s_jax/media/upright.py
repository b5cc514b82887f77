"""From a decoded frame to the picture a person would see: turned upright, mirrored back, square pixels, RGB."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import UInt8


@dataclasses.dataclass(frozen=True)
class Upright:
    """How the stored pictures of one track are shown.

    Attributes:
        width: pixels of the upright picture with square pixels.
        height: likewise.
        turns: quarter turns anticlockwise from the stored picture.
        mirrored: whether it is mirrored left to right after turning.
        reformatter: PyAV's scaler, kept because setting one up for each frame costs more than scaling.
    """

    width: int
    height: int
    turns: int = 0
    mirrored: bool = False
    reformatter: Any = None

    @classmethod
    def of(cls, frame: Any, stream: Any) -> "Upright":
        """Reads the display matrix of a frame and the pixel shape of its stream."""
        from av.video.reformatter import VideoReformatter

        turns, mirrored = _orientation(frame)
        width, height = frame.width, frame.height
        # Outside these bounds a pixel shape is a broken header, not an anamorphic picture.
        ratio = float(stream.sample_aspect_ratio or 1)
        if 0.25 <= ratio <= 4:
            width, height = (round(width * ratio), height) if ratio >= 1 else (width, round(height / ratio))
        if turns % 2:
            width, height = height, width
        return cls(width, height, turns, mirrored, VideoReformatter())

    def rgb(self, frame: Any, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
        """The frame as an upright RGB picture of `size` (width, height), its own by default.

        Scaling down averages over areas, so a large face does not alias.
        """
        width, height = size or (self.width, self.height)
        stored = (height, width) if self.turns % 2 else (width, height)
        scaled = stored[0] * stored[1] < frame.width * frame.height
        method = "AREA" if scaled else "BILINEAR"
        shown = self.reformatter.reformat(frame, *stored, format="rgb24", interpolation=method)
        picture = np.rot90(shown.to_ndarray(), self.turns)
        return np.ascontiguousarray(picture[:, ::-1] if self.mirrored else picture)


def within(width: int, height: int, longest: float | int) -> tuple[int, int]:
    """(width, height) scaled down, never up, to a longest side in pixels."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _orientation(frame: Any) -> tuple[int, bool]:
    """(quarter turns anticlockwise, mirrored left-right afterwards) that make the stored picture upright.

    The display matrix [a b u; c d v; x y w] (16.16 fixed point, ISO/IEC 14496-12 section 8.2.2) puts a stored point at
    (a x + c y, b x + d y) on screen, y pointing down; so the stored x axis shows along (a, b).
    """
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5] / 65536
    mirrored = bool(a * d - b * c < 0)
    angle = np.degrees(np.arctan2(-b, -a if mirrored else a))
    return round(angle / 90) % 4, mirrored
