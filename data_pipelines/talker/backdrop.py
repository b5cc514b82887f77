"""What is behind and below the face: the studio's wall, what stands before it, and the speaker's clothes."""

from collections.abc import Callable

import numpy as np

from data_pipelines.talker.identities import Identity
from data_pipelines.talker.paint import grain
from data_pipelines.talker.scene import Scene
from data_pipelines.talker.surface import soft

_DRIFT = 1.5  # pixels a frame: a camera that pans
_THINGS = 120  # in a picture's width
_CONTRAST = 120.0  # grey levels by which they differ from the wall at most


def behind(who: Identity, scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> Callable[[int], np.ndarray]:
    """What is behind the speaker in a frame, float32 [height, width, 3] in 0..255, the caller's own."""
    plain = _wall(who, scene, size, rng)
    if not scene.clutter:
        return lambda index: plain.copy()
    width, height = size
    things = _things(np.random.default_rng(who.texture_seed + 4), 2 * width, height)
    things *= _CONTRAST * scene.clutter

    def frame(index: int) -> np.ndarray:
        start = int(_DRIFT * index) % width
        return plain + things[:, start : start + width]

    return frame


def _things(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Boxes of all sizes, one before the other, as what they add to a wall, float32 [height, width, 3]; it repeats."""
    half, picture = width // 2, np.zeros((height, width, 3), np.float32)
    for _ in range(_THINGS):
        left, top = rng.integers(0, half), rng.integers(-height // 4, height)
        wide, high = (rng.uniform(0.03, 0.3, 2) * height).astype(int)
        colour = rng.uniform(-1, 1, 3).astype(np.float32)
        for shift in (-half, 0, half):
            picture[max(top, 0) : top + high, max(left + shift, 0) : max(left + shift + wide, 0)] = colour
    return picture


def _wall(who: Identity, scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A plain wall lit from the lamp's side, float32 [height, width, 3] in 0..255."""
    width, height = size
    x, y = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
    towards = scene.light.direction()
    bright = 0.92 + 0.22 * towards[0] * x + 0.10 * towards[1] * y - 0.12 * (x**2 + y**2)
    bright = bright + 0.01 * grain(rng, (height, width), 12.0)
    return (255 * np.array(who.background) * bright[..., None]).astype(np.float32)


def clothes(
    who: Identity, scene: Scene, size: tuple[int, int], zoom: float, left: float
) -> tuple[np.ndarray, np.ndarray]:
    """Shoulders and collar before the neck: colours [height, width, 3] in 0..255, coverage [height, width, 1]."""
    width, height = size
    x = ((np.arange(width) + 0.5 - left) / zoom - scene.centre[0])[None, :] / scene.scale
    y = ((np.arange(height) + 0.5) / zoom - scene.centre[1])[:, None] / scene.scale
    side = np.abs(x)
    collar = who.chin + 22 - 0.028 * np.clip(40 - side, 0, None) ** 2 * -1 * (0.75 if who.female else 0.5)
    slope = who.chin + 22 + 0.22 * np.clip(side - 40, 0, None) + 0.0032 * np.clip(side - 75, 0, None) ** 2
    top = np.where(side < 40, collar, slope)
    mask = soft(y - top, 1.4)
    rng = np.random.default_rng(who.texture_seed + 3)
    weave = 1 + 0.05 * grain(rng, (height, width), 1.0) + 0.10 * grain(rng, (height, width), 9.0)
    rim = 1 - 0.25 * np.exp(-(((y - top - 6) / 1.5) ** 2)) * soft(44 - side, 4)
    towards = scene.light.direction()
    bright = (0.85 + 0.25 * towards[0] * np.tanh(x / 60) + 0.12 * np.exp(-(((y - top) / 14) ** 2))) * rim * weave
    colour = 255 * np.array(who.shirt) * bright[..., None]
    return colour.astype(np.float32), mask[..., None].astype(np.float32)
