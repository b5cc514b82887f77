"""One picture of what was seen and what was said: mouth crops in a row, true and synthesized spectrograms below."""

import io
import os

import numpy as np
from jaxtyping import Float, UInt8

from v2s_jax.constants import MOUTH_SIZE
from v2s_jax.features.mel import log_mel
from v2s_jax.media.atomic import replacing
from v2s_jax.training.validate import Spoken, picture

_WIDEN = 3  # pixels to a mel frame, as many as to a mel bin
_GAP = 18  # pixels between parts; room for a line of text


def write_picture(
    path: str | os.PathLike,
    mouth: UInt8[np.ndarray, "T 96 96"],
    waveform: Float[np.ndarray, "n"],
    true_waveform: Float[np.ndarray, "n"] | None = None,
) -> None:
    """Writes a PNG whose parts share one time axis, in one piece.

    Args:
        path: of the file.
        mouth: grey crops; as many as fit are shown, each at its time.
        waveform: synthesized.
        true_waveform: the recording, of the same length; without one its part is left out.

    Raises:
        V2SError: the file cannot be written.
    """
    from PIL import Image, ImageDraw

    heard = waveform if true_waveform is None else true_waveform
    spoken = Spoken(waveform, log_mel(waveform), heard, log_mel(heard))
    mels = picture(spoken).repeat(_WIDEN, axis=1)
    half, width = len(mels) // 2, mels.shape[1]
    parts = [("mouth, as the model sees it", mouth_strip(mouth, width)), ("true sound", mels[:half])]
    parts = parts[: 1 if true_waveform is None else 2] + [("synthesized from the picture alone", mels[half:])]
    canvas = Image.new("RGB", (width, sum(len(part) + _GAP for _, part in parts)), "white")
    draw, top = ImageDraw.Draw(canvas), 0
    for text, part in parts:
        draw.text((4, top + 3), text, fill="black")
        canvas.paste(Image.fromarray(part), (0, top + _GAP))
        top += _GAP + len(part)
    data = io.BytesIO()
    canvas.save(data, "PNG")
    with replacing(path) as file:
        file.write(data.getvalue())


def mouth_strip(mouth: UInt8[np.ndarray, "T 96 96"], width: int) -> UInt8[np.ndarray, "96 w"]:
    """Crops side by side, each cut out of the clip at the time of its middle on an axis `width` pixels long."""
    count = max(1, width // MOUTH_SIZE)
    strip = np.full((MOUTH_SIZE, max(width, MOUTH_SIZE)), 255, np.uint8)
    for index in range(count):
        left = round((index + 0.5) * strip.shape[1] / count - MOUTH_SIZE / 2)
        frame = min(len(mouth) - 1, int((left + MOUTH_SIZE / 2) / strip.shape[1] * len(mouth)))
        strip[:, left : left + MOUTH_SIZE] = mouth[frame]
    return strip
