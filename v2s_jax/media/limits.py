"""What a clip may be at most, so that a hostile or mistaken file costs a sentence and not the machine."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds checked before anything of that size is allocated or decoded.

    Attributes:
        max_seconds: longest clip; half an hour of mouth crops is about 400 MB, the only thing that grows with length.
        max_pixels: largest picture, width x height; 8K (7680 x 4320, 33 million) fits in either orientation.
        max_fps: decoded pictures per second of clip, so that a timeline of microseconds cannot keep the decoder busy.
    """

    max_seconds: float | int = 1800
    max_pixels: int = 8192 * 5120
    max_fps: float | int = 480
