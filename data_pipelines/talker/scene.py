"""Everything about a clip that is neither who speaks nor what is said: head pose, blinks, light, what hides the face.

One dataclass that the renderer reads; `dials.py` names what makes it harder.
"""

import dataclasses

import numpy as np

_GAMMA = 2.2  # of pixels over light


@dataclasses.dataclass(frozen=True)
class Light:
    """A lamp and its surroundings.

    Attributes:
      azimuth, elevation: degrees from the camera's axis, to the picture's right and up.
      key, ambient: brightness of a patch that faces the lamp, and of one that turns away.
      wrap: how far light creeps round the head (0 a point lamp, 1 a wall of light).
      gloss: brightness of highlights.
      flicker: standard deviation of the slow change of brightness over the clip.
    """

    azimuth: float = 20.0
    elevation: float = 35.0
    key: float = 1.06
    ambient: float = 0.40
    wrap: float = 0.35
    gloss: float = 0.16
    flicker: float = 0.015

    def direction(self) -> np.ndarray:
        """Unit vector towards the lamp, in face coordinates (y down)."""
        azimuth, elevation = np.deg2rad((self.azimuth, self.elevation))
        return np.array(
            (np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation)), np.float32
        )


@dataclasses.dataclass(frozen=True)
class Scene:
    """How a clip is shot. Lengths are pixels of a 360x288 picture, angles degrees.

    Attributes:
      centre: where the point between the eyes rests.
      scale: pixels to a face unit.
      sway: extent of the head's slow translation; `roll` of its rotation, `zoom` of its relative change of size.
      blinks: mean number of blinks a second.
      light: the lamp.
      noise: standard deviation of the sensor's noise, in grey levels of 255.
      exposure: share of the light that reaches the sensor, whose noise stays.
      clutter: contrast of what stands and moves behind, 0 to 1.
      turn: of the head to the picture's right.
      covered: share of the face's height, from the chin to below the eyes, that a mask hides.
      beside: share of the face's width, from the picture's left, that something in front of it hides.
    """

    centre: tuple[float, float] = (180.0, 140.0)
    scale: float = 1.15
    sway: float = 3.0
    roll: float = 2.0
    zoom: float = 0.015
    blinks: float = 0.3
    light: Light = Light()
    noise: float = 2.0
    exposure: float = 1.0
    clutter: float = 0.0
    turn: float = 0.0
    covered: float = 0.0
    beside: float = 0.0


@dataclasses.dataclass(frozen=True)
class Motion:
    """Frame by frame: centre [T, 2] px, scale [T], roll [T] rad, lids [T] 0..1 open, gain [T] of brightness."""

    centre: np.ndarray
    scale: np.ndarray
    roll: np.ndarray
    lids: np.ndarray
    gain: np.ndarray


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene within the ordinary variation of one studio."""
    light = Light(
        azimuth=float(rng.uniform(-35, 35)),
        elevation=float(rng.uniform(20, 45)),
        key=float(rng.uniform(0.98, 1.12)),
        ambient=float(rng.uniform(0.36, 0.50)),
    )
    return Scene(
        centre=(180 + float(rng.uniform(-14, 14)), 138 + float(rng.uniform(-6, 6))),
        scale=float(rng.uniform(1.06, 1.24)),
        sway=float(rng.uniform(1.0, 4.0)),
        roll=float(rng.uniform(0.5, 2.5)),
        light=light,
        noise=float(rng.uniform(1.0, 2.5)),
    )


def move(scene: Scene, n_frames: int, fps: float, rng: np.random.Generator) -> Motion:
    """Draws the movements of `n_frames` frames."""
    times = np.arange(n_frames) / fps
    wander = [_wander(times, rng) for _ in range(5)]
    return Motion(
        centre=np.array(scene.centre) + scene.sway * np.stack(wander[:2], axis=1),
        scale=scene.scale * (1 + scene.zoom * wander[2]),
        roll=np.deg2rad(scene.roll) * wander[3],
        lids=_lids(times, scene.blinks, rng),
        gain=(1 + scene.light.flicker * wander[4]) * scene.exposure ** (1 / _GAMMA),
    )


def _wander(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth random curve of about unit extent: three slow sines."""
    rates, phases = rng.uniform(0.1, 0.9, 3), rng.uniform(0, 2 * np.pi, 3)
    weights = np.array((0.5, 0.3, 0.2))
    return (weights * np.sin(2 * np.pi * rates * times[:, None] + phases)).sum(axis=1) * 1.4


def _lids(times: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Openness of the lids: blinks of 0.2 s at random times."""
    open_ = np.ones_like(times)
    moment = rng.exponential(1 / rate)
    while times.size and moment < times[-1]:
        open_ = np.minimum(open_, np.clip(np.abs(times - moment) / 0.11 - 0.35, 0, 1))
        moment += 0.5 + rng.exponential(1 / rate)
    return open_
