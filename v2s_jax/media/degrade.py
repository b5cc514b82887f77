"""Ways in which video gets worse, for mouth crops: how much of it a model can do without.

They work on the crops as a data set has them, so the face was still found in the good picture: what a detector loses on
bad video is not among them. Every one is a function of the crops, an amount and a random generator alone.
"""

import fractions
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from v2s_jax.amounts import parse_amounts
from v2s_jax.constants import MOUTH_SIZE, VIDEO_FPS

_GAMMA = 2.2  # of pixels over light
_FULL, _READ_NOISE = 2000.0, 4.0  # electrons: of a white pixel of a small camera, and of its amplifier's noise
_GREY = 128  # of what is in the way


def blur(mouth: UInt8[np.ndarray, "T 96 96"], amount: float, rng: np.random.Generator) -> UInt8[np.ndarray, "T 96 96"]:
    """Out of focus: a Gaussian of `amount` pixels' standard deviation; the border's pixels go on beyond it."""
    reach = math.ceil(3 * amount)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(amount, 1e-6)) ** 2).astype(np.float32)
    soft = mouth.astype(np.float32)
    for axis in (1, 2):
        padded = np.pad(soft, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        size = mouth.shape[axis]
        soft = np.zeros_like(soft)
        for shift, weight in enumerate(kernel / kernel.sum()):
            soft += weight * padded.take(np.arange(shift, shift + size), axis)
    return _pixels(soft)


def dark(mouth: UInt8[np.ndarray, "T 96 96"], amount: float, rng: np.random.Generator) -> UInt8[np.ndarray, "T 96 96"]:
    """Too little light: `amount` of it is gone, and what is left is counted by a sensor, photon by photon."""
    electrons = (mouth / 255.0) ** _GAMMA * (1 - amount) * _FULL
    counted = rng.poisson(electrons) + rng.normal(0, _READ_NOISE, mouth.shape)
    return _pixels(255 * (np.maximum(counted, 0) / _FULL) ** (1 / _GAMMA))


def occlude(
    mouth: UInt8[np.ndarray, "T 96 96"], amount: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "T 96 96"]:
    """Something in the way: a grey square over `amount` of the crop's area, at one place for the whole clip."""
    side = round(MOUTH_SIZE * math.sqrt(amount))
    top, left = rng.integers(0, MOUTH_SIZE - side + 1, 2)
    hidden = mouth.copy()
    hidden[:, top : top + side, left : left + side] = _GREY
    return hidden


def drop(mouth: UInt8[np.ndarray, "T 96 96"], amount: float, rng: np.random.Generator) -> UInt8[np.ndarray, "T 96 96"]:
    """A lossy stream: `amount` of the frames are missing and the one before stays on; the first one always comes."""
    lost = min(round(amount * len(mouth)), len(mouth) - 1)
    shown = np.arange(len(mouth))
    shown[1 + rng.permutation(len(mouth) - 1)[:lost]] = 0
    return mouth[np.maximum.accumulate(shown)]


def compress(
    mouth: UInt8[np.ndarray, "T 96 96"], amount: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "T 96 96"]:
    """Through H.264 at a constant rate factor: 0 loses nothing, 23 is x264's default, 51 its worst."""
    import av

    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width = encoder.height = MOUTH_SIZE
    rate = fractions.Fraction(VIDEO_FPS)
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "gray", rate, 1 / rate
    # Neither several threads nor the analysis called mbtree give the same result every time.
    encoder.options, encoder.thread_count = {"crf": str(amount), "preset": "medium", "x264-params": "mbtree=0"}, 1
    packets = []
    for index, frame in enumerate(mouth):
        picture = av.VideoFrame.from_ndarray(frame, format="gray")
        picture.pts = index
        packets += encoder.encode(picture)
    decoder = av.VideoCodecContext.create("h264", "r")
    pictures = [picture for packet in [*packets, *encoder.encode(None), None] for picture in decoder.decode(packet)]
    # The luma as it is stored: asked for as grey, it would be stretched from the range that video usually has.
    return np.stack([picture.to_ndarray()[:MOUTH_SIZE] for picture in pictures])


def _pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


class Degradation(NamedTuple):
    """A way to get worse: the function, the greatest amount (0 is the least, and changes nothing), what it counts."""

    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    most: float
    unit: str


DEGRADATIONS = {
    "blur": Degradation(blur, 32.0, "pixels of standard deviation"),
    "dark": Degradation(dark, 1.0, "share of the light that is gone"),
    "occlude": Degradation(occlude, 1.0, "share of the crop that is covered"),
    "drop": Degradation(drop, 1.0, "share of the frames that are missing"),
    "compress": Degradation(compress, 51.0, "constant rate factor of H.264"),
}


def parse(text: str) -> list[tuple[str, float]]:
    """The names and amounts of `NAME=AMOUNT`, several joined by `+`, in their order; none of "".

    Raises:
        V2SError: there is no such degradation, or not in that amount.
    """
    return parse_amounts(text, DEGRADATIONS, "way to degrade video")


def degrade(mouth: UInt8[np.ndarray, "T 96 96"], text: str, rng: np.random.Generator) -> UInt8[np.ndarray, "T 96 96"]:
    """Crops made worse, one way after another.

    Args:
        mouth: grey crops, at least one; they stay as they are.
        text: such as `blur=2` or `dark=0.9+drop=0.3`; an amount of 0 changes nothing.
        rng: decides where and which; the same one gives the same result.

    Raises:
        V2SError: there is no such degradation, or not in that amount.
    """
    for name, amount in parse(text):
        if amount:
            mouth = DEGRADATIONS[name].apply(mouth, amount, rng)
    return mouth
