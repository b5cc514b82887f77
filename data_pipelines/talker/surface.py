"""The face as a height field, so that light falls on it as on a solid head: outline, depth and normals.

Coordinates are face units (see `Identity`): the origin lies between the eyes, x to the picture's right, y down, z
towards the camera.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from data_pipelines.talker.identities import Identity

CROWN = -90.0  # y of the bare skull's top
_BROADEST = 2.0  # y where the face is widest


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A raster over face units.

    Attributes:
      left, top: face coordinates of the canvas's corner.
      resolution: pixels to a unit.
      width, height: in pixels.
    """

    left: float
    top: float
    resolution: float
    width: int
    height: int

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Gives x [1, width] and y [height, 1] of the pixels' centres in face units, float32."""
        x = self.left + (np.arange(self.width, dtype=np.float32) + 0.5) / self.resolution
        y = self.top + (np.arange(self.height, dtype=np.float32) + 0.5) / self.resolution
        return x[None, :], y[:, None]

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """Row and column slices that cover a rectangle of face units."""
        rows = slice(round((top - self.top) * self.resolution), round((bottom - self.top) * self.resolution))
        columns = slice(round((left - self.left) * self.resolution), round((right - self.left) * self.resolution))
        return rows, columns


def soft(distance: np.ndarray, width: float = 0.7) -> np.ndarray:
    """0 outside (negative distance) to 1 inside, a smooth edge of `width` units: analytic antialiasing."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def bump(x: np.ndarray, y: np.ndarray, at: tuple[float, float], spread: tuple[float, float]) -> np.ndarray:
    """A Gaussian hill of height 1."""
    return np.exp(-(((x - at[0]) / spread[0]) ** 2 + ((y - at[1]) / spread[1]) ** 2))


def both(x: np.ndarray, y: np.ndarray, at: tuple[float, float], spread: tuple[float, float]) -> np.ndarray:
    """The same hill left and right."""
    return bump(np.abs(x), y, at, spread)


def half_width(who: Identity, y: Float[np.ndarray, "h 1"]) -> Float[np.ndarray, "h 1"]:
    """Half the face's width at height `y`, 0 beyond crown and chin."""
    below = np.clip((y - _BROADEST) / (who.chin - _BROADEST), 0, 1)
    above = np.clip((_BROADEST - y) / (_BROADEST - CROWN), 0, 1)
    return who.face_width * np.sqrt(np.clip(1 - below**who.jaw, 0, 1)) * np.sqrt(np.clip(1 - above**3.1, 0, 1))


def inside(
    x: np.ndarray, y: np.ndarray, width: np.ndarray, edge: float = 1.2, rough: np.ndarray | float = 0.0
) -> np.ndarray:
    """Soft mask of |x| < width(y); `width` is a function of y sampled on it ([height, 1]), `rough` frays the edge."""
    slope = np.clip(np.gradient(width[:, 0], y[:, 0])[:, None], -4, 4)  # finite where the outline closes
    return soft((width - np.abs(x)) / np.sqrt(1 + slope**2) + rough, edge) * (width > edge)


def depth(who: Identity, x: Float[np.ndarray, "1 w"], y: Float[np.ndarray, "h 1"]) -> Float[np.ndarray, "h w"]:
    """Height of the face towards the camera, in units; the lips are not part of it (mouth.py draws them)."""
    width = np.hypot(half_width(who, y), 0.45 * who.face_width)  # so that crown and chin are round, not ridges
    z = 46 * np.sqrt(np.clip(1 - np.abs(x / width) ** 2.3, 0.02, 1)) + 16 * np.sqrt(
        np.clip(1 - np.abs((y - 8) / 108) ** 2.2, 0.02, 1)
    )
    eye, nose, mouth = who.eye_distance, who.nose_length, who.mouth_y
    strong = 0.75 if who.female else 1.0
    z = z + 4.0 * strong * both(x, y, (eye - 3, -who.brow_height + 1), (15, 6))  # brow ridge
    z = z - 7.5 * both(x, y, (eye - 1, -2), (12, 8.5)) + 3.0 * both(x, y, (eye, 0.5), (8, 5))  # socket, eyeball
    z = z + 4.0 * both(x, y, (33, 25), (14, 11)) - 2.5 * both(x, y, (38, 52), (11, 15))  # cheekbone, hollow
    along = np.clip((y + 8) / (nose + 8), 0, 1)  # the nose's ridge grows and widens from root to tip
    ridge = (2.5 + 12 * along**1.3) * soft(nose + 1 - y, 9) * soft(y + 14, 14)
    z = z + ridge * np.exp(-(np.abs(x / (4.8 + 0.30 * who.nose_width * along)) ** 2.0))
    z = z + 5.0 * bump(x, y, (0, nose - 5), (6.0, 5.5))  # tip
    z = z + 5.5 * both(x, y, (who.nose_width - 1.2, nose - 4), (3.4, 4.2))  # wings
    z = z + 4.5 * bump(x, y, (0, mouth + 1), (24, 15))  # the teeth's arch
    z = z - 1.4 * bump(x, y, (0, (nose + mouth) / 2), (2.6, 6))  # philtrum
    z = z - 3.0 * bump(x, y, (0, mouth + 15), (15, 4.5))  # hollow under the lip
    z = z + 4.5 * bump(x, y, (0, who.chin - 15), (14, 9))  # chin
    fold = 14 + 0.42 * (y - nose + 4)  # from the nose's wings past the mouth's corners
    z = z - 1.6 * np.exp(-(((np.abs(x) - fold) / 2.6) ** 2)) * bump(0 * x, y, (0, nose + 11), (1, 12))
    return z.astype(np.float32)


def normals(z: Float[np.ndarray, "h w"], resolution: float) -> Float[np.ndarray, "h w 3"]:
    """Unit normals [H, W, 3] of a height field sampled at `resolution` pixels a unit."""
    zy, zx = np.gradient(z, 1 / resolution)
    normal = np.stack([-zx, -zy, np.ones_like(z)], axis=-1)
    return (normal / np.linalg.norm(normal, axis=-1, keepdims=True)).astype(np.float32)
