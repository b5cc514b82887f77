"""The mouth of one frame: lips, teeth, tongue and the dark between, from the numbers of a `MouthShape`."""

import dataclasses

import numpy as np
from jaxtyping import Float

from data_pipelines.talker.identities import Identity
from data_pipelines.talker.paint import over
from data_pipelines.talker.surface import both, bump, soft


@dataclasses.dataclass(frozen=True)
class MouthShape:
    """What shows of an articulation. The fields are the columns of a mouth track, in this order.

    Attributes:
      opening: height between the lips, units of the face (0 closed, 14 wide open).
      width: half width relative to rest (0.6 rounded, 1.2 spread).
      pout: 0..1, how far the lips are pushed out.
      jaw: drop of the chin, units.
      teeth: 0..1, how much of the upper teeth shows; `lower_teeth` likewise.
      tongue: height of its body, 0 low to 1 against the palate; `tip` 0..1, its tip at the teeth.
      tuck: 0..1, lower lip drawn under the upper teeth.
      press: 0..1, lips pressed together.
    """

    opening: float = 0.0
    width: float = 1.0
    pout: float = 0.0
    jaw: float = 0.0
    teeth: float = 0.3
    lower_teeth: float = 0.0
    tongue: float = 0.3
    tip: float = 0.0
    tuck: float = 0.0
    press: float = 0.0


@dataclasses.dataclass(frozen=True)
class _Lines:
    """Curves of the mouth over x, all [1, w]: outer and inner edge of either lip, and the inner opening's profile."""

    top: np.ndarray
    inner_top: np.ndarray
    inner_low: np.ndarray
    low: np.ndarray
    gap: np.ndarray


def _lines(who: Identity, shape: MouthShape, x: np.ndarray, half: float) -> _Lines:
    """The lips' edges for a mouth of half width `half`."""
    arch = np.clip(1 - (x / half) ** 2, 0, 1)
    inner_half = half * (0.90 - 0.16 * shape.pout)
    gap = np.clip(1 - np.abs(x / inner_half) ** 2.2, 0, 1) ** (0.62 - 0.1 * shape.pout)
    line = who.mouth_y + 0.2 * (x / half) ** 2 * (1 - shape.pout) - 0.5 * np.exp(-((x / 4) ** 2))
    line = line + 1.6 * shape.press * arch - 1.2 * shape.tuck * arch
    full = who.lip_fullness * (1 + 0.28 * shape.pout) * (1 - 0.45 * shape.press)
    thin = 1 - 0.02 * shape.opening
    bow = 1 - 0.20 * np.exp(-((x / 2.6) ** 2)) + 0.10 * np.exp(-(((np.abs(x) - 4.5) / 2.5) ** 2))
    inner_top = line - 0.28 * shape.opening * gap
    inner_low = line + 0.72 * shape.opening * gap
    top = inner_top - 5.4 * full * thin * arch**0.9 * bow
    low = inner_low + 7.0 * full * thin * (1 - 0.55 * shape.tuck) * arch**0.62
    return _Lines(top, inner_top, inner_low, low, gap)


def draw_mouth(
    picture: Float[np.ndarray, "h w 3"],
    who: Identity,
    shape: MouthShape,
    x: Float[np.ndarray, "1 w"],
    y: Float[np.ndarray, "h 1"],
) -> None:
    """Draws the mouth over the bare skin of a lit picture [h, w, 3], in place.

    Args:
      picture: the lit window, skin where the mouth goes; its own brightness lights the mouth.
      who: colours and sizes.
      shape: the articulation.
      x: [1, w] face units of the window's columns.
      y: [h, 1] face units of its rows.
    """
    half = who.mouth_width * shape.width
    lines = _lines(who, shape, x, half)
    light = np.clip(picture.mean(axis=-1, keepdims=True) / np.mean(who.skin), 0.3, 1.3)
    _crease(picture, who, shape, x, y, lines, half)
    _cavity(picture, who, shape, x, y, lines, light)
    _lips(picture, who, shape, x, y, lines, light, half)


def _crease(
    picture: np.ndarray,
    who: Identity,
    shape: MouthShape,
    x: np.ndarray,
    y: np.ndarray,
    lines: _Lines,
    half: float,
) -> None:
    """Shadows the lips cast on the skin: under the lower one, at the corners, and the cheeks' folds when spread."""
    under = np.exp(-(((y - lines.low - 2.4) / 2.6) ** 2)) * soft(0.75 * half - np.abs(x), 8)
    corner = both(x, y, (half + 0.5, who.mouth_y + 0.4), (2.6, 2.6))
    spread = max(0.0, shape.width - 1.0) * 3
    fold = np.exp(-(((np.abs(x) - half - 6 - 0.25 * (y - who.mouth_y)) / 2.2) ** 2)) * bump(
        0 * x, y, (0, who.mouth_y - 4), (1, 11)
    )
    dark = 0.24 * under + 0.32 * corner + spread * 0.25 * fold
    picture *= 1 - np.clip(dark, 0, 0.8)[..., None] * np.array((0.75, 0.95, 1.0), np.float32)


def _cavity(
    picture: np.ndarray,
    who: Identity,
    shape: MouthShape,
    x: np.ndarray,
    y: np.ndarray,
    lines: _Lines,
    light: np.ndarray,
) -> None:
    """What shows between the lips: darkness, tongue, then the teeth."""
    hole = soft(np.minimum(y - lines.inner_top, lines.inner_low - y) + 0.4, 1.2) * min(1.0, shape.opening / 1.2)
    over(picture, (0.17, 0.05, 0.06), hole * (lines.gap > 0))
    floor = (
        lines.inner_low
        + 1.5
        - (0.62 * shape.tongue + 0.25 * shape.tip)
        * shape.opening
        * np.clip(1 - (x / (0.62 * who.mouth_width)) ** 2, 0, 1)
    )
    body = soft(y - floor, 2.0) * hole * (0.35 + 0.65 * shape.tongue)
    fade = (0.55 + 0.45 * np.clip((y - floor) / 4, 0, 1))[..., None]
    over(picture, np.array((0.72, 0.33, 0.34)) * fade * light, body)
    arch = 1 - 0.10 * (x / 12) ** 2
    edge = (
        who.mouth_y - 2.4 + 5.2 * arch + 0.8 * shape.tuck
    )  # the upper row hangs at a fixed height, the lip uncovers it
    grooves = 1 - 0.16 * np.exp(-(((np.abs(x) % 5.4) / 0.55) ** 2)) - 0.012 * np.abs(x)
    ivory = np.array((0.93, 0.90, 0.83)) * light * grooves[..., None]
    upper = soft(edge - y, 0.8) * soft(0.80 * who.mouth_width - np.abs(x), 5) * hole
    over(picture, ivory * 0.96, np.clip(1.35 * shape.teeth, 0, 1) * upper)
    lower = soft(y - (edge + 1.0 + 0.62 * shape.jaw), 0.8) * soft(0.62 * who.mouth_width - np.abs(x), 5) * hole
    over(picture, ivory * 0.86, np.clip(1.2 * shape.lower_teeth, 0, 1) * lower)
    tip = soft(1 - np.hypot(x / 8.0, (y - edge - 0.6) / 2.6), 0.5) * hole * shape.tip
    over(picture, np.array((0.82, 0.42, 0.42)) * light, tip)


def _lips(
    picture: np.ndarray,
    who: Identity,
    shape: MouthShape,
    x: np.ndarray,
    y: np.ndarray,
    lines: _Lines,
    light: np.ndarray,
    half: float,
) -> None:
    """Both lips, rounded by shading, with the dark seam where they meet."""
    ends = soft(half - np.abs(x), 1.5)
    grain = 1 + 0.03 * np.sin(3.1 * x + 0.4 * np.sin(5 * x))
    colour = np.array(who.lip, np.float32)
    across = np.clip((y - lines.top) / np.maximum(lines.inner_top - lines.top, 0.5), 0, 1)
    upper = soft(np.minimum(y - lines.top, lines.inner_top - y) + 0.3, 1.2) * ends
    tone = (1.0 - 0.34 * across) * grain
    over(picture, colour * tone[..., None] * light, 0.92 * upper)
    down = np.clip((y - lines.inner_low) / np.maximum(lines.low - lines.inner_low, 0.5), 0, 1)
    lower = soft(np.minimum(y - lines.inner_low, lines.low - y) + 0.3, 1.2) * ends
    shine = 0.34 * np.exp(-(((down - 0.42) / 0.22) ** 2)) * np.exp(-((x / (0.5 * half)) ** 2)) * (1 + shape.pout)
    tone = (0.92 + 0.16 * np.sin(np.pi * np.clip(down * 1.1, 0, 1)) - 0.16 * down**3) * grain
    over(picture, (colour * tone[..., None] + 0.35 * shine[..., None]) * light, 0.92 * lower)
    closed = max(0.0, 1 - shape.opening / 2.5)
    seam = np.exp(-(((y - lines.inner_top) / 0.85) ** 2)) * ends * closed
    over(picture, colour * 0.22, 0.85 * seam)
