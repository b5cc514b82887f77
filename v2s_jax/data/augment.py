"""Augmentation of mouth crops: where to cut, whether to mirror, which frames to hide."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from v2s_jax.constants import CROP_SIZE, MOUTH_SIZE, VIDEO_FPS

CENTRE = (MOUTH_SIZE - CROP_SIZE) // 2


@dataclasses.dataclass(frozen=True)
class Augment:
    """How strongly to augment.

    Attributes:
        crop: cut at a random place instead of the centre (one place for the whole clip).
        flip: probability of mirroring the clip.
        mask_seconds: longest hidden span, in seconds; 0 hides nothing. SVTS (Mira et al. 2022, section 3.3) hides up to
            0.4 s in every second.
    """

    crop: bool = True
    flip: float | int = 0.5
    mask_seconds: float | int = 0.4


NO_AUGMENT = Augment(crop=False, flip=0.0, mask_seconds=0.0)


def cut(
    frames: UInt8[np.ndarray, "T 96 96"], augment: Augment, rng: np.random.Generator, out: UInt8[np.ndarray, "T 88 88"]
) -> None:
    """Writes the augmented 88x88 crops of a clip into `out`."""
    top, left = rng.integers(0, MOUTH_SIZE - CROP_SIZE + 1, 2) if augment.crop else (CENTRE, CENTRE)
    crop = frames[:, top : top + CROP_SIZE, left : left + CROP_SIZE]
    out[:] = crop[:, :, ::-1] if rng.random() < augment.flip else crop
    if augment.mask_seconds > 0:
        hide_spans(out, augment.mask_seconds, rng)


def hide_spans(frames: UInt8[np.ndarray, "T H W"], longest: float, rng: np.random.Generator) -> None:
    """Replaces one span of up to `longest` seconds in every second of video by the clip's mean frame, in place."""
    mean, most = None, min(round(longest * VIDEO_FPS), VIDEO_FPS)
    for second in range(0, len(frames), VIDEO_FPS):
        length = int(rng.integers(0, most + 1))
        start = second + int(rng.integers(0, VIDEO_FPS - length + 1))
        if length and start < len(frames):
            if mean is None:
                mean = (frames.sum(0, dtype=np.uint32) // len(frames)).astype(np.uint8)
            frames[start : start + length] = mean
