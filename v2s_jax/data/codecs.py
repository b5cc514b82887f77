"""Stored forms of the big fields: JPEG mosaics for crops, FLAC for sound, 16-bit numbers for mels.

A mosaic packs many small tiles into one JPEG, so that a clip costs one call of the decoder. Tiles start at multiples of
the JPEG block (8 pixels grey, 16 colour), so no block straddles two tiles and a tile's quality does not depend on its
neighbours.
"""

import io
from collections.abc import Sequence

import numpy as np
import soundfile
from jaxtyping import Float, UInt8
from PIL import Image

from v2s_jax.constants import FACE_SIZE, MEL_PER_FRAME, N_MELS, SAMPLE_RATE, SAMPLES_PER_FRAME

JPEG_QUALITY = 95
MOSAIC_COLUMNS = 16
# 256 tiles are 10 s of video: a 1536x1536 picture, far from JPEG's limit of 65,535; longer clips take several mosaics,
# and a window of a long clip decodes only those it touches.
MOSAIC_TILES = 256


def encode_frames(frames: UInt8[np.ndarray, "T S S"]) -> list[bytes]:
    """Grey square crops, one to a video frame, as JPEG mosaics of up to 256 frames each."""
    return [_encode_mosaic(frames[start : start + MOSAIC_TILES]) for start in range(0, len(frames), MOSAIC_TILES)]


def decode_frames(blobs: Sequence[bytes], start: int, stop: int) -> UInt8[np.ndarray, "T S S"]:
    """Frames [start, stop) of a clip encoded by `encode_frames`."""
    first, last = start // MOSAIC_TILES, -(-stop // MOSAIC_TILES)
    tiles = [_decode_mosaic(blob) for blob in blobs[first:last]]
    frames = tiles[0] if len(tiles) == 1 else np.concatenate(tiles)
    offset = first * MOSAIC_TILES
    return frames[start - offset : stop - offset]


def encode_face(crops: UInt8[np.ndarray, "K 112 112 3"]) -> list[bytes]:
    """Identity crops as one RGB JPEG, one below the other."""
    return [_jpeg(crops.reshape(-1, FACE_SIZE, 3))] if len(crops) else []


def decode_face(blobs: Sequence[bytes]) -> UInt8[np.ndarray, "K 112 112 3"]:
    """The crops encoded by `encode_face`."""
    return _pixels(blobs[0]).reshape(-1, FACE_SIZE, FACE_SIZE, 3)


def encode_audio(waveform: Float[np.ndarray, "n"]) -> list[bytes]:
    """A waveform in [-1, 1] as 16-bit FLAC (values outside are clipped)."""
    samples = np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return [file.getvalue()]


def decode_audio(blobs: Sequence[bytes], start: int, stop: int) -> Float[np.ndarray, "n"]:
    """The sound of video frames [start, stop), float32 in [-1, 1]."""
    with soundfile.SoundFile(io.BytesIO(blobs[0])) as file:
        if start:
            file.seek(start * SAMPLES_PER_FRAME)
        samples = file.read((stop - start) * SAMPLES_PER_FRAME, dtype="int16")
    return samples.astype(np.float32) * np.float32(1 / 32768)


def encode_mel(mel: Float[np.ndarray, "n 80"]) -> list[bytes]:
    """A log-mel as float16, frame by frame."""
    return [mel.astype("<f2").tobytes()]


def decode_mel(blobs: Sequence[bytes], start: int, stop: int) -> Float[np.ndarray, "n 80"]:
    """The mel frames of video frames [start, stop), float16."""
    return np.frombuffer(blobs[0], "<f2").reshape(-1, N_MELS)[start * MEL_PER_FRAME : stop * MEL_PER_FRAME]


def _encode_mosaic(tiles: np.ndarray) -> bytes:
    rows, size = -(-len(tiles) // MOSAIC_COLUMNS), tiles.shape[1]
    grid = np.zeros((rows * MOSAIC_COLUMNS, size, size), np.uint8)
    grid[: len(tiles)] = tiles
    picture = grid.reshape(rows, MOSAIC_COLUMNS, size, size).transpose(0, 2, 1, 3)
    return _jpeg(picture.reshape(rows * size, MOSAIC_COLUMNS * size))


def _decode_mosaic(blob: bytes) -> np.ndarray:
    """All tiles of a mosaic, the blank ones after the last frame included."""
    pixels = _pixels(blob)
    size = pixels.shape[1] // MOSAIC_COLUMNS
    picture = pixels.reshape(-1, size, MOSAIC_COLUMNS, size)
    return picture.transpose(0, 2, 1, 3).reshape(-1, size, size)


def _jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    # subsampling=0 keeps colour at full resolution: lips and skin tell speakers apart.
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()


def _pixels(blob: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(blob)) as image:
        return np.asarray(image)
