"""The people of the corpus: each a face and a voice that go together, a function of the identity's number alone.

Half are women, half men (even and odd numbers); a taller pitch goes with a smaller, rounder face, a faster speaker with
wider lips, and the voice variant (espeak's formants) with the shape of jaw and nose, so that a network can learn to
guess a voice from a face as it would from real people.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from data_pipelines.talker.espeak import Voice
from v2s_jax.errors import V2SError

# espeak's voices (accent + variant) whose GRID sentences pocketsphinx recognises best; README.md has the figures.
_US, _GB = "gmw/en-US", "gmw/en"
_MEN = (
    *(
        f"{_US}+m1",
        f"{_US}+m6",
        f"{_GB}+edward",
        f"{_US}+m4",
        f"{_GB}+michel",
        f"{_US}+m3",
        f"{_US}+Diogo",
        f"{_US}+m2",
    ),
    *(f"{_US}+edward2", f"{_GB}+adam", f"{_US}+m5", f"{_US}+Gene2", f"{_GB}+Hugo", f"{_US}+edward", f"{_US}+adam"),
)
_WOMEN = (f"{_US}+f1", f"{_US}+f2", f"{_GB}+f3", f"{_US}+f5", f"{_US}+f4", f"{_GB}+f2", f"{_US}+f3", f"{_GB}+f5")

N_IDENTITIES = 32
HELD_OUT = tuple(range(N_IDENTITIES - 4, N_IDENTITIES))  # never in a training set: the demo and tests of generalisation

Colour = tuple[float, float, float]  # RGB in 0..1

_SKINS = ((0.96, 0.80, 0.70), (0.93, 0.74, 0.62), (0.87, 0.67, 0.53), (0.80, 0.60, 0.45), (0.68, 0.48, 0.35))
_HAIRS = ((0.13, 0.10, 0.09), (0.25, 0.16, 0.11), (0.38, 0.25, 0.15), (0.62, 0.46, 0.27), (0.48, 0.22, 0.12))
_IRISES = ((0.25, 0.15, 0.08), (0.30, 0.42, 0.55), (0.33, 0.42, 0.28), (0.38, 0.27, 0.14))


@dataclasses.dataclass(frozen=True)
class Identity:
    """One person. Lengths are in face units: the eyes' centres are about 45 apart, a unit is about a pixel."""

    index: int
    female: bool
    voice: Voice
    skin: Colour
    lip: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    background: Colour
    face_width: float  # half width at the eyes
    chin: float  # distance of the chin below the eyes
    jaw: float  # exponent of the jaw line: 2 tapers, 4 is square
    eye_distance: float  # half the distance of the eyes' centres
    eye_size: float  # 1 = a lid aperture of 7.5 units
    brow_height: float  # above the eyes
    brow_thickness: float
    nose_width: float
    nose_length: float
    mouth_y: float  # below the eyes
    mouth_width: float  # half width at rest
    lip_fullness: float
    hair_style: str  # of WOMEN_STYLES or MEN_STYLES
    hair_length: float  # how far below the eyes long hair falls
    beard: float  # 0 none, 0.5 stubble, 1 full
    glasses: bool
    texture_seed: int


WOMEN_STYLES = ("long", "bob", "parted", "curly")
MEN_STYLES = ("short", "parted", "bald", "curly")


@functools.cache
def identity(index: int) -> Identity:
    """The person of number `index` (0 .. N_IDENTITIES - 1).

    Raises:
      V2SError: no such number.
    """
    if not 0 <= index < N_IDENTITIES:
        raise V2SError(f"the talker corpus has no identity {index}: choose one of 0 to {N_IDENTITIES - 1}.")
    rng = np.random.default_rng([1201, index])
    female, rank = index % 2 == 0, index // 2
    # Everything that face and voice share comes from two hidden traits in [-1, 1].
    size = float(rng.uniform(-1, 1))  # vocal tract and face: large is low-pitched, broad, long-nosed
    tempo = float(rng.uniform(-1, 1))
    return Identity(
        index=index,
        female=female,
        voice=_voice(female, rank, size, tempo),
        **_colours(rng, female, rank),
        **_shape(rng, female, size, tempo),
        **_style(rng, female, rank),
        texture_seed=int(rng.integers(1 << 30)),
    )


def _voice(female: bool, rank: int, size: float, tempo: float) -> Voice:
    """The espeak voice of the `rank`-th woman or man."""
    voices = _WOMEN if female else _MEN
    return Voice(
        name=voices[rank % len(voices)],
        pitch=round(50 - 25 * size),
        pitch_range=round(45 + 10 * tempo),
        rate=round(150 + 15 * tempo),
    )


def _shape(rng: np.random.Generator, female: bool, size: float, tempo: float) -> dict[str, Any]:
    """Lengths of the face; a woman's is a little smaller, with larger eyes, thinner brows and fuller lips."""

    def draw(spread: float) -> float:
        return float(rng.uniform(-spread, spread))

    return {
        "face_width": (51.5 if female else 54.0) + 2.0 * size + draw(1.0),
        "chin": (91.0 if female else 97.0) + 2.5 * size + draw(1.5),
        "jaw": (2.5 if female else 3.1) + 0.35 * size + draw(0.15),
        "eye_distance": 22.8 + draw(0.9),
        "eye_size": (1.12 if female else 0.95) + draw(0.06),
        "brow_height": (19.0 if female else 17.0) + draw(1.0),
        "brow_thickness": (3.1 if female else 4.6) + draw(0.5),
        "nose_width": (8.6 if female else 10.0) + 0.8 * size + draw(0.4),
        "nose_length": (36.0 if female else 38.0) + 1.5 * size + draw(0.8),
        "mouth_y": (56.5 if female else 58.5) + 1.5 * size + draw(0.6),
        "mouth_width": (19.0 if female else 20.5) + 1.0 * tempo + draw(0.5),
        "lip_fullness": (1.12 if female else 0.88) + draw(0.12),
    }


def _colours(rng: np.random.Generator, female: bool, rank: int) -> dict[str, Any]:
    """Skin, lips, hair, eyes, clothes and wall."""
    skin = np.array(_SKINS[rank % len(_SKINS)]) * rng.uniform(0.96, 1.03)
    dark = rank % len(_SKINS) >= 3
    hair = np.array(_HAIRS[int(rng.integers(2 if dark else len(_HAIRS)))]) * rng.uniform(0.85, 1.15)
    iris = np.array(_IRISES[0 if dark else int(rng.integers(len(_IRISES)))])
    red = np.array((0.70, 0.26, 0.28)) if female else np.array((0.60, 0.30, 0.27))
    mix = 0.62 if female else 0.55
    lip = skin * 0.92 * (1 - mix) + red * mix * (0.55 + 0.45 * skin[0])
    shirt, wall = rng.uniform(0.12, 0.7, 3), np.array((0.20, 0.55, 0.68)) + rng.uniform(-0.18, 0.18, 3)
    named = {"skin": skin, "lip": lip, "hair": hair, "iris": iris, "shirt": shirt, "background": wall}
    return {name: _colour(value) for name, value in named.items()}


def _colour(value: np.ndarray) -> Colour:
    """Three floats clipped to what a picture can show."""
    red, green, blue = np.clip(value, 0.0, 1.0)
    return float(red), float(green), float(blue)


def _style(rng: np.random.Generator, female: bool, rank: int) -> dict[str, Any]:
    """Hair, beard and glasses."""
    styles = WOMEN_STYLES if female else MEN_STYLES
    style = styles[rank % len(styles)]
    long = {"long": 126.0, "bob": 62.0, "parted": 84.0 if female else 0.0, "curly": 52.0 if female else 0.0}
    return {
        "hair_style": style,
        "hair_length": long.get(style, 0.0) + float(rng.uniform(-5, 5)),
        "beard": 0.0 if female else (0.0, 0.5, 0.0, 0.25, 1.0)[rank % 5],
        "glasses": rank % 6 == 5,
    }
