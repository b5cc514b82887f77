"""Clips longer than what a network sees at once: overlapping windows, joined by a cross-fade.

Neighbouring windows share at least `overlap` frames. In the middle of what they share one fades into the other over a
few frames, so that on both sides of the joint a frame has at least (overlap - fade) / 2 frames of context that the
other side of the window's edge would have given. Every window has the same length, the last one included: no short
rest, no other compilation.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped


class Window(NamedTuple):
    """Frames [start, stop) of a clip, of which [keep_start, keep_stop) appear in the output (faded at the joints)."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def plan(n_frames: int, window: int, overlap: int, fade: int) -> list[Window]:
    """Windows over a clip, evenly spread.

    Args:
        n_frames: length of the clip; up to `window` it is one window of its own length.
        window: length of every window of a longer clip.
        overlap: frames that neighbours share at least.
        fade: frames over which the output goes from one to the next; 0 < 2 fade <= overlap <= window - 2 fade, so that
            joints keep apart.
    """
    if n_frames <= window:
        return [Window(0, n_frames, 0, n_frames)]
    count = -(-(n_frames - overlap) // (window - overlap))
    starts = [round(index * (n_frames - window) / (count - 1)) for index in range(count)]
    # A joint is the first frame of the fade, in the middle of what two windows share.
    joints = [(right + left + window - fade) // 2 for left, right in zip(starts, starts[1:], strict=False)]
    firsts, lasts = [0, *joints], [*(joint + fade for joint in joints), n_frames]
    return [Window(start, start + window, a, b) for start, a, b in zip(starts, firsts, lasts, strict=True)]


def ramp(length: int) -> Float[np.ndarray, "n"]:
    """Weights of the side that fades in: rising, never quite 0 or 1, equal to 1 minus themselves reversed."""
    return ((np.arange(length) + 0.5) / length).astype(np.float32)


class CrossFade:
    """Joins the outputs of windows, given in order; pieces come as soon as nothing that follows can change them.

    A weighted mean is right for log-mels (each side predicts the same frame) and for waveforms in phase. Whole numbers,
    such as units, change from one side to the other in the middle of the fade.

    Args:
        windows: in order, as planned.
        rate: rows to a frame: 4 for mels, 640 for waveforms.
    """

    def __init__(self, windows: Sequence[Window], rate: int):
        self.windows, self.rate, self._index = windows, rate, 0
        self._tail: np.ndarray | None = None

    def add(self, output: Shaped[np.ndarray, "..."]) -> list[Shaped[np.ndarray, "..."]]:
        """The pieces that the next window's output completes.

        Args:
            output: `rate` rows to a frame of [start, stop) of the window; more rows at the end are padding.
        """
        index, windows, rate = self._index, self.windows, self.rate
        window, pieces = windows[index], []
        kept = output[rate * (window.keep_start - window.start) : rate * (window.keep_stop - window.start)]
        if self._tail is not None:
            pieces.append(_mixed(self._tail, kept[: len(self._tail)]))
            kept = kept[len(self._tail) :]
        following = windows[index + 1] if index + 1 < len(windows) else None
        split = len(kept) - (rate * (window.keep_stop - following.keep_start) if following else 0)
        pieces.append(kept[:split])
        # A copy, so that the window's whole output can go.
        self._tail, self._index = kept[split:].copy(), index + 1
        return pieces


def _mixed(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    rise = ramp(len(old)).reshape(-1, *[1] * (old.ndim - 1))
    if np.issubdtype(old.dtype, np.integer):
        return np.where(rise < 0.5, old, new)
    # Not old * (1 - rise) + new * rise: where both sides agree the result is theirs to the bit.
    return (old + (new - old) * rise).astype(old.dtype)


def cross_fade(
    windows: Sequence[Window], outputs: Iterable[Shaped[np.ndarray, "..."]], rate: int
) -> Iterator[Shaped[np.ndarray, "..."]]:
    """The pieces of a `CrossFade` of outputs as they come, which make `rate` rows to a frame of the whole clip."""
    joiner = CrossFade(windows, rate)
    for _, output in zip(windows, outputs, strict=True):
        yield from joiner.add(output)
