"""Augmentation of mouth and expression crops: where to cut, whether to mirror, which frames to hide."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from v2s_jax.constants import CROP_SIZE, MOUTH_SIZE, VIDEO_FPS

CENTRE = (MOUTH_SIZE - CROP_SIZE) // 2


@dataclasses.dataclass(frozen=True)
class Augment:
    """How strongly to augment.

    Attributes:
        crop: cut the mouth at a random place instead of the centre (one place for the whole clip).
        flip: probability of mirroring the clip.
        mask_seconds: longest hidden span, in seconds; 0 hides nothing. SVTS (Mira et al. 2022, section 3.3) hides up to
            0.4 s in every second.
    """

    crop: bool = True
    flip: float | int = 0.5
    mask_seconds: float | int = 0.4


NO_AUGMENT = Augment(crop=False, flip=0.0, mask_seconds=0.0)


@dataclasses.dataclass(frozen=True)
class Draw:
    """What was drawn for one clip, so that all its crops are treated alike.

    Attributes:
        top: row of the mouth crop that the cut begins with.
        left: likewise the column.
        flip: whether to mirror.
        hidden: frames [start, stop) to hide.
    """

    top: int = CENTRE
    left: int = CENTRE
    flip: bool = False
    hidden: tuple[tuple[int, int], ...] = ()


def draw(augment: Augment, n_frames: int, rng: np.random.Generator) -> Draw:
    """Draws the augmentation of a clip of `n_frames`."""
    top, left = rng.integers(0, MOUTH_SIZE - CROP_SIZE + 1, 2) if augment.crop else (CENTRE, CENTRE)
    flip = bool(rng.random() < augment.flip)
    hidden = draw_spans(n_frames, augment.mask_seconds, rng) if augment.mask_seconds > 0 else ()
    return Draw(int(top), int(left), flip, hidden)


def draw_spans(n_frames: int, longest: float | int, rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """Frames [start, stop) to hide: one span of up to `longest` seconds in every second of video."""
    spans, most = [], min(round(longest * VIDEO_FPS), VIDEO_FPS)
    for second in range(0, n_frames, VIDEO_FPS):
        length = int(rng.integers(0, most + 1))
        start = second + int(rng.integers(0, VIDEO_FPS - length + 1))
        if length and start < n_frames:
            spans.append((start, min(start + length, n_frames)))
    return tuple(spans)


def cut_mouth(frames: UInt8[np.ndarray, "T 96 96"], drawn: Draw, out: UInt8[np.ndarray, "T 88 88"]) -> None:
    """Writes the augmented 88x88 crops of a clip into `out`."""
    rows, columns = slice(drawn.top, drawn.top + CROP_SIZE), slice(drawn.left, drawn.left + CROP_SIZE)
    change(frames[:, rows, columns], drawn, out)


def change(frames: UInt8[np.ndarray, "T S S"], drawn: Draw, out: UInt8[np.ndarray, "T S S"]) -> None:
    """Writes crops into `out`, mirrored if drawn so, hidden frames replaced by the clip's mean frame."""
    out[:] = frames[:, :, ::-1] if drawn.flip else frames
    if drawn.hidden:
        mean = (out.sum(0, dtype=np.uint32) // len(out)).astype(np.uint8)
        for start, stop in drawn.hidden:
            out[start:stop] = mean
