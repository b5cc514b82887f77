"""Augmentation of mouth and expression crops: where to cut, whether to mirror, what to hide, how to get worse."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from v2s_jax.constants import CROP_SIZE, MOUTH_SIZE, VIDEO_FPS
from v2s_jax.media.degrade import degrade, parse

CENTRE = (MOUTH_SIZE - CROP_SIZE) // 2


@dataclasses.dataclass(frozen=True)
class Augment:
    """How strongly to augment.

    Attributes:
        crop: cut the mouth at a random place instead of the centre (one place for the whole clip).
        flip: probability of mirroring the clip.
        mask_seconds: longest hidden span, in seconds; 0 hides nothing. SVTS (Mira et al. 2022, section 3.3) hides up to
            0.4 s in every second.
        degraded: share of the clips whose mouth crops are made worse.
        degrade: ways to do so, each with its strongest amount, such as `blur=4+dark=0.95` (see `media/degrade.py`): a
            clip gets one of them, in any amount up to that.

    Raises:
        V2SError: there is no such way, or not in that amount.
    """

    crop: bool = True
    flip: float | int = 0.5
    mask_seconds: float | int = 0.4
    degraded: float | int = 0.5
    degrade: str = ""

    def __post_init__(self):
        parse(self.degrade)


NO_AUGMENT = Augment(crop=False, flip=0.0, mask_seconds=0.0)


@dataclasses.dataclass(frozen=True)
class Draw:
    """What was drawn for one clip, so that all its crops are treated alike.

    Attributes:
        top: row of the mouth crop that the cut begins with.
        left: likewise the column.
        flip: whether to mirror.
        hidden: frames [start, stop) to hide.
        worse: how the mouth is to be degraded, as `degrade` takes it.
        seed: of what is random in that.
    """

    top: int = CENTRE
    left: int = CENTRE
    flip: bool = False
    hidden: tuple[tuple[int, int], ...] = ()
    worse: str = ""
    seed: int = 0


def draw(augment: Augment, n_frames: int, rng: np.random.Generator) -> Draw:
    """Draws the augmentation of a clip of `n_frames`."""
    top, left = rng.integers(0, MOUTH_SIZE - CROP_SIZE + 1, 2) if augment.crop else (CENTRE, CENTRE)
    flip = bool(rng.random() < augment.flip)
    hidden = draw_spans(n_frames, augment.mask_seconds, rng) if augment.mask_seconds > 0 else ()
    if not augment.degrade or rng.random() >= augment.degraded:
        return Draw(int(top), int(left), flip, hidden)
    ways = parse(augment.degrade)
    name, strongest = ways[rng.integers(len(ways))]
    worse = f"{name}={rng.uniform(0, strongest)}"
    return Draw(int(top), int(left), flip, hidden, worse, int(rng.integers(2**32)))


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
    worse = degrade(frames, drawn.worse, np.random.default_rng(drawn.seed))
    change(worse[:, rows, columns], drawn, out)


def change(frames: UInt8[np.ndarray, "T S S"], drawn: Draw, out: UInt8[np.ndarray, "T S S"]) -> None:
    """Writes crops into `out`, mirrored if drawn so, hidden frames replaced by the clip's mean frame."""
    out[:] = frames[:, :, ::-1] if drawn.flip else frames
    if drawn.hidden:
        mean = (out.sum(0, dtype=np.uint32) // len(out)).astype(np.uint8)
        for start, stop in drawn.hidden:
            out[start:stop] = mean
