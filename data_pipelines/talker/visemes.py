"""From timed phonemes to mouth shapes, with coarticulation by dominance functions.

Each phoneme pulls every number of the mouth towards its own target with a strength that fades exponentially before and
after it; the mouth is their weighted mean (Cohen and Massaro, "Modeling coarticulation in synthetic visual speech",
1993).
Voiced and voiceless partners (p b, t d, s z ...) share a shape, as they do on real lips.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from data_pipelines.talker.mouth import MouthShape
from v2s_jax.errors import V2SError


@dataclasses.dataclass(frozen=True)
class TimedPhoneme:
    """An espeak mnemonic without stress marks, from `start` to `end` in seconds; `stress` 0 to 2 of the syllable."""

    symbol: str
    start: float
    end: float
    stress: int = 0


REST = MouthShape()
_VOWELS: dict[str, MouthShape] = {
    "i": MouthShape(4.0, 1.20, 0.0, 1.5, 0.9, 0.3, 0.9),
    "I": MouthShape(5.0, 1.10, 0.0, 2.5, 0.8, 0.15, 0.75),
    "e": MouthShape(7.0, 1.12, 0.0, 4.0, 0.8, 0.2, 0.65),
    "a": MouthShape(11.0, 1.10, 0.0, 7.0, 0.8, 0.3, 0.35),
    "V": MouthShape(8.0, 1.00, 0.0, 5.5, 0.6, 0.1, 0.35),
    "A": MouthShape(13.0, 0.98, 0.0, 9.0, 0.5, 0.1, 0.2),
    "O": MouthShape(10.5, 0.80, 0.6, 7.5, 0.25, 0.0, 0.2),
    "o": MouthShape(7.0, 0.72, 0.8, 5.0, 0.1, 0.0, 0.3),
    "U": MouthShape(5.0, 0.74, 0.8, 3.0, 0.1, 0.0, 0.4),
    "u": MouthShape(3.6, 0.62, 1.0, 2.0, 0.0, 0.0, 0.4),
    "3": MouthShape(5.5, 0.86, 0.5, 3.5, 0.4, 0.15, 0.55),
    "@": MouthShape(5.0, 0.98, 0.1, 3.0, 0.5, 0.05, 0.5),
}
_CONSONANTS: dict[str, MouthShape] = {
    "p": MouthShape(0.0, 0.98, 0.1, 0.0, 0.0, 0.0, 0.3, press=1.0),
    "f": MouthShape(1.8, 1.02, 0.0, 1.0, 1.0, 0.0, 0.3, tuck=1.0),
    "T": MouthShape(4.2, 1.02, 0.0, 2.0, 0.9, 0.1, 0.7, tip=1.0),
    "t": MouthShape(3.8, 1.05, 0.0, 1.5, 0.9, 0.3, 0.95, tip=0.35),
    "l": MouthShape(5.4, 1.02, 0.0, 3.0, 0.8, 0.2, 0.9, tip=0.75),
    "s": MouthShape(2.8, 1.14, 0.0, 0.2, 1.0, 0.9, 0.6),
    "S": MouthShape(4.2, 0.76, 0.9, 0.6, 0.9, 0.8, 0.5),
    "j": MouthShape(3.8, 1.14, 0.0, 1.5, 0.8, 0.3, 1.0),
    "k": MouthShape(5.0, 1.00, 0.0, 3.0, 0.6, 0.1, 0.8),
    "r": MouthShape(3.6, 0.76, 0.75, 2.0, 0.4, 0.2, 0.6),
    "w": MouthShape(1.6, 0.58, 1.0, 1.0, 0.0, 0.0, 0.3),
    "h": MouthShape(5.0, 1.00, 0.0, 3.0, 0.5, 0.1, 0.4),
}
# espeak mnemonic -> the vowels it moves through, or its consonant. Trailing marks (: 2 # / [ ^ ;) are stripped first.
_PATHS = {
    **{"i": "i", "I": "I", "E": "e", "e": "e", "a": "a", "aa": "a", "A": "A", "V": "V", "0": "A", "O": "O", "o": "o"},
    **{"U": "U", "u": "u", "3": "3", "@": "@", "@L": "@", "@5": "@", "I#": "I", "a#": "@", "Y": "u", "y": "u"},
    **{"eI": "eI", "aI": "AI", "OI": "OI", "oI": "OI", "aU": "AU", "oU": "oU", "@U": "@U", "i@": "i@", "e@": "e@"},
    **{"U@": "U@", "u@": "u@", "A@": "A3", "O@": "O3", "o@": "o3", "aI@": "AI@", "aU@": "AU@", "I@": "I@", "I3": "I3"},
    **{"i@3": "i3", "aI3": "AI3", "E@": "e@", "O@r": "O3", "VR": "3", "IR": "3", "I2": "I", "E2": "e"},
}
_CLASSES = {
    **dict.fromkeys(("p", "b", "m", "m-"), "p"),
    **dict.fromkeys(("f", "v", "v#"), "f"),
    **dict.fromkeys(("T", "D"), "T"),
    **dict.fromkeys(("t", "d", "n", "n-", "*", "?", "t2", "d#", "t#"), "t"),
    **dict.fromkeys(("l", "l#", "L", "5"), "l"),
    **dict.fromkeys(("s", "z", "z/2", "ts"), "s"),
    **dict.fromkeys(("S", "Z", "tS", "dZ"), "S"),
    **dict.fromkeys(("j",), "j"),
    **dict.fromkeys(("k", "g", "N", "x", "c", "Q"), "k"),
    **dict.fromkeys(("r", "r-", "R", "R2", "**"), "r"),
    **dict.fromkeys(("w", "w#", "hw"), "w"),
    **dict.fromkeys(("h",), "h"),
}
SILENCE = "_"

# How strongly a phoneme holds each number (columns as in MouthShape): consonants insist on their closure or rounding.
_FREE = np.array((1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
_WEAK = np.array((0.7, 0.25, 0.2, 0.5, 0.9, 0.9, 1.0, 1.0, 1.0, 1.0))  # t k n h: the lips follow their neighbours
_HOLD = {
    "p": np.array((12.0, 0.5, 0.4, 0.8, 1.0, 1.0, 0.6, 1.0, 1.0, 12.0)),
    "f": np.array((9.0, 0.8, 0.8, 1.2, 6.0, 1.0, 0.6, 1.0, 12.0, 1.0)),
    "w": np.array((3.0, 5.0, 5.0, 1.5, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0)),
    "S": np.array((3.0, 4.0, 4.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0)),
    "r": np.array((1.5, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)),
    "s": np.array((3.0, 0.6, 0.4, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0)),
    "T": np.array((2.0, 0.5, 0.4, 1.5, 2.0, 1.0, 2.0, 8.0, 1.0, 1.0)),
    "l": np.array((1.2, 0.4, 0.3, 1.0, 1.0, 1.0, 2.0, 4.0, 1.0, 1.0)),
    **dict.fromkeys(("t", "k", "h", "j"), _WEAK),
    **dict.fromkeys(("u", "U", "o", "O"), np.array((1.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))),
}
# Seconds over which a phoneme's pull falls by a factor e; lips round well ahead of the sound that needs it.
_FADE = np.array((0.022, 0.060, 0.060, 0.030, 0.022, 0.022, 0.022, 0.022, 0.022, 0.022))


def _values(shape: MouthShape) -> np.ndarray:
    """The shape's numbers as a vector, in the order of its fields."""
    return np.array(dataclasses.astuple(shape))


def shapes_of(symbol: str) -> list[tuple[str, MouthShape]]:
    """The (class, shape) that a phoneme passes through; two or three for a diphthong.

    Raises:
      V2SError: an espeak mnemonic that English does not use.
    """
    for key in (symbol, symbol.rstrip(":;^/[]-#0123456789"), symbol.rstrip(":;^/[]-#2")):
        if key.startswith(SILENCE) or symbol in ("", "|", "||"):
            return [(SILENCE, REST)]
        if key in _CLASSES:
            return [(_CLASSES[key], _CONSONANTS[_CLASSES[key]])]
        if key in _PATHS:
            return [(vowel, _VOWELS[vowel]) for vowel in _PATHS[key]]
    raise V2SError(f"no mouth shape for espeak's phoneme {symbol!r}: use an English voice.")


@dataclasses.dataclass(frozen=True)
class _Targets:
    """All targets of an utterance: values and strengths [N, 10], start and end [N] seconds."""

    values: np.ndarray
    strengths: np.ndarray
    start: np.ndarray
    end: np.ndarray


def _targets(phonemes: list[TimedPhoneme]) -> _Targets:
    """One row for each shape; a diphthong's share its time."""
    rows = []
    for phoneme in phonemes:
        shapes = shapes_of(phoneme.symbol)
        edges = np.linspace(phoneme.start, phoneme.end, len(shapes) + 1)
        for (name, shape), start, end in zip(shapes, edges[:-1], edges[1:], strict=True):
            strength = _HOLD.get(name, _FREE) * (1.0 if name != SILENCE else 0.9)
            values = _values(shape)
            if name in _VOWELS:  # unstressed vowels are said with less effort
                values[[0, 3]] *= (0.78, 0.9, 1.0)[phoneme.stress]
            rows.append((values, strength, start, end))
    values, strengths, start, end = (np.array(column) for column in zip(*rows, strict=True))
    return _Targets(values, strengths, start, end)


def mouth_track(phonemes: list[TimedPhoneme], times: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t 10"]:
    """Mouth shapes at `times` (seconds); columns are the fields of `MouthShape`.

    Args:
      phonemes: of the whole clip, silences included, in order.
      times: seconds.
    """
    targets = _targets(phonemes)
    gap = np.maximum(targets.start - times[:, None], times[:, None] - targets.end)  # [t, N]; negative inside
    middle = np.maximum((targets.end - targets.start) / 2, 0.01)
    inner = (1 + np.clip(-gap / middle, 0, 1)) ** 2  # strongest in the phoneme's middle
    outer = np.exp(-np.maximum(gap, 0)[:, :, None] / _FADE)
    weight = inner[:, :, None] * outer * targets.strengths
    return (weight * targets.values).sum(axis=1) / weight.sum(axis=1)


def shape_at(track: Float[np.ndarray, "t 10"], frame: int) -> MouthShape:
    """One frame of a track as a `MouthShape`."""
    return MouthShape(*(float(value) for value in track[frame]))
