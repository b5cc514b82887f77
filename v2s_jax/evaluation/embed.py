"""Sound and pictures as data URIs, so that a report needs no file beside it."""

import base64
import io
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from v2s_jax.constants import LOG_CEILING, LOG_FLOOR
from v2s_jax.errors import V2SError
from v2s_jax.features.mel import log_mel
from v2s_jax.media.audio import write_wav

# Five points of matplotlib's magma (CC0), dark to light.
_MAGMA = np.array([[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]])
_PICTURE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}


def uri(data: bytes, kind: str) -> str:
    """Bytes as a data URI of a MIME type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def sound(wave: Float[np.ndarray, "n"]) -> str:
    """A waveform in [-1, 1] at 16 kHz as a 16-bit WAV."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sound.wav")
        write_wav(path, wave)
        return uri(path.read_bytes(), "audio/wav")


def spectrogram(wave: Float[np.ndarray, "n"]) -> str:
    """A waveform's log-mel as a PNG: time to the right, frequency up, one pixel a frame and bin, black at -70 dB."""
    mel = log_mel(wave)
    if not len(mel):
        mel = np.full((1, 80), LOG_FLOOR, np.float32)
    level = np.clip((mel.T[::-1] - LOG_FLOOR) / (LOG_CEILING - LOG_FLOOR), 0, 1)
    level = np.clip((level - 0.35) / 0.6, 0, 1)  # the range speech lives in
    stops = np.linspace(0, 1, len(_MAGMA))
    colours = np.stack([np.interp(level, stops, _MAGMA[:, channel]) for channel in range(3)], axis=-1)
    out = io.BytesIO()
    Image.fromarray(colours.astype(np.uint8)).save(out, "png", optimize=True)
    return uri(out.getvalue(), "image/png")


def picture(path: Path) -> str:
    """A picture file (PNG, JPEG or SVG) as it is.

    Raises:
        V2SError: it cannot be read or is of another kind.
    """
    kind = _PICTURE_TYPES.get(path.suffix.lower())
    if kind is None:
        raise V2SError(f"{path}: expected a picture for the report, one of {', '.join(_PICTURE_TYPES)}")
    try:
        return uri(path.read_bytes(), kind)
    except OSError as error:
        raise V2SError(f"{path}: the picture for the report cannot be read ({error.strerror})") from error
