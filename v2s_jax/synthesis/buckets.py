"""A short ladder of lengths: clips are padded up to the next rung, so that the number of compilations is known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from v2s_jax.constants import CROP_SIZE, FACE_CROPS, FACE_SIZE, MEL_PER_FRAME, MOUTH_SIZE, N_MELS, SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch

# Frames. From one rung to the next it is a quarter to a half: at most a third of what is computed is padding.
RUNGS = (25, 38, 50, 75, 100, 125, 160, 200, 250, 320, 400, 500)


def ladder(window: int) -> tuple[int, ...]:
    """The lengths in frames that a network with a window of `window` frames is compiled for, ascending."""
    return (*(length for length in RUNGS if length < window), window)


def rung(n_frames: int, rungs: Sequence[int]) -> int:
    """The shortest length of the ladder that holds `n_frames`."""
    return next(length for length in rungs if length >= n_frames)


def centre_crop(mouth: UInt8[np.ndarray, "T 96 96"]) -> UInt8[np.ndarray, "T 88 88"]:
    """What the networks see of a mouth crop outside training."""
    edge = (MOUTH_SIZE - CROP_SIZE) // 2
    return mouth[:, edge : edge + CROP_SIZE, edge : edge + CROP_SIZE]


def padded_mouths(mouths: Sequence[UInt8[np.ndarray, "_ 96 96"]], rows: int, frames: int, **fields: Any) -> Batch:
    """A batch of `rows` x `frames` that holds the given crops; rows beyond them have length 0.

    Args:
        mouths: at most `rows`, each of at most `frames` frames.
        rows: of the batch.
        frames: of the batch.
        **fields: other fields of the batch, already padded.
    """
    length = np.zeros(rows, np.int32)
    length[: len(mouths)] = [len(crops) for crops in mouths]
    mouth = padded_frames([centre_crop(crops) for crops in mouths], rows, frames, CROP_SIZE)
    return Batch(length=length, mouth=mouth, **fields)


def padded_frames(
    clips: Sequence[UInt8[np.ndarray, "_ S S"]], rows: int, frames: int, size: int
) -> UInt8[np.ndarray, "B T S S"]:
    """Grey crops of `size` pixels, one to a video frame, followed by zeros; zeros in rows beyond them."""
    padded = np.zeros((rows, frames, size, size), np.uint8)
    for row, crops in enumerate(clips):
        padded[row, : len(crops)] = crops
    return padded


def padded_vectors(vectors: Sequence[Float[np.ndarray, "D"]], rows: int) -> Float[np.ndarray, "B D"]:
    """The vector of each row, at least one; rows beyond them repeat the first."""
    given = [np.asarray(vector, np.float32) for vector in vectors]
    return np.stack(given + given[:1] * (rows - len(given)))


def padded_sounds(sounds: Sequence[Float[np.ndarray, "_"]], rows: int, frames: int) -> Float[np.ndarray, "B samples"]:
    """Waveforms of each row, cut or followed by silence to `frames` frames; zeros in rows beyond them."""
    padded = np.zeros((rows, SAMPLES_PER_FRAME * frames), np.float32)
    for row, sound in zip(padded, sounds, strict=False):
        row[: len(sound)] = sound[: len(row)]
    return padded


def padded_mels(mels: Sequence[Float[np.ndarray, "_ 80"]], rows: int, frames: int) -> Float[np.ndarray, "B M 80"]:
    """Log-mels of each row, followed by zeros to `frames` video frames; zeros in rows beyond them."""
    padded = np.zeros((rows, MEL_PER_FRAME * frames, N_MELS), np.float32)
    for row, mel in zip(padded, mels, strict=False):
        row[: len(mel)] = mel
    return padded


def padded_faces(faces: Sequence[UInt8[np.ndarray, "_ 112 112 3"]], rows: int) -> UInt8[np.ndarray, "B 4 112 112 3"]:
    """Identity crops of each row, repeated to the usual number; zeros in rows beyond them."""
    padded = np.zeros((rows, FACE_CROPS, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    for row, crops in enumerate(faces):
        padded[row] = crops[np.arange(FACE_CROPS) % len(crops)]
    return padded
