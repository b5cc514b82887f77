"""A person's head as still layers, painted once: colours, normals and coverage, with the eyes at several opennesses."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from data_pipelines.talker import paint
from data_pipelines.talker.eyes import eyes
from data_pipelines.talker.identities import Identity
from data_pipelines.talker.scene import Light
from data_pipelines.talker.surface import Canvas, bump, depth, half_width, inside, normals

CANVAS = Canvas(left=-85.0, top=-112.0, resolution=1.5, width=255, height=372)
EYE_WINDOW = CANVAS.window(-38, -14, 38, 10)
EYE_LEVELS = 6  # drawn opennesses, closed to open


@dataclasses.dataclass(frozen=True)
class Head:
    """Layers on `CANVAS`, float32 in 0..1.

    Attributes:
      albedo: [H, W, 3] colours without light, eyes open.
      alpha: [H, W] coverage.
      normal: [H, W, 3].
      gloss: [H, W] strength of the highlight.
      lids: EYE_LEVELS pictures [h, w, 3] of `EYE_WINDOW`, closed first.
    """

    albedo: np.ndarray
    alpha: np.ndarray
    normal: np.ndarray
    gloss: np.ndarray
    lids: tuple[np.ndarray, ...]


@functools.lru_cache(maxsize=4)
def paint_head(who: Identity) -> Head:
    """Paints everything of a head that does not move."""
    x, y = CANVAS.grid()
    hair = paint.strands(who, x, y)
    albedo = np.zeros((CANVAS.height, CANVAS.width, 3), np.float32)
    back = paint.back_hair(who, x, y)
    paint.over(albedo, hair * 0.55, back)
    throat = paint.neck(albedo, who, x, y)
    ear = paint.ears(albedo, who, x, y)
    face = inside(x, y, half_width(who, y))
    complexion = paint.skin(who, x, y)
    for mark in (paint.brows, paint.nose_marks, paint.beard):
        mark(complexion, who, x, y)
    paint.over(albedo, complexion, face)
    front = paint.front_hair(who, x, y)
    lids = tuple(_lid(albedo, hair, front, who, level / (EYE_LEVELS - 1)) for level in range(EYE_LEVELS))
    albedo[EYE_WINDOW] = lids[-1]
    shadow = np.clip(ndimage.gaussian_filter(front, 4) * 1.1 - front, 0, 1)
    albedo *= (1 - 0.42 * shadow * face)[..., None]
    paint.over(albedo, hair, front)
    alpha = np.clip(np.max([back, throat, ear, face, front], axis=0), 0, 1)
    normal = _normals(who, x, y, face, front)
    gloss = face * (1 - front) * (0.6 + 0.8 * bump(x, y, (0, who.nose_length - 6), (5, 12))) + 0.25 * front
    return Head(albedo, alpha, normal, gloss.astype(np.float32), lids)


def _lid(albedo: np.ndarray, hair: np.ndarray, front: np.ndarray, who: Identity, openness: float) -> np.ndarray:
    """The eye window at one openness, glasses and hair over it."""
    x, y = CANVAS.grid()
    rows, columns = EYE_WINDOW
    x, y = x[:, columns], y[rows]
    picture = albedo[EYE_WINDOW].copy()
    eyes(picture, who, x, y, openness)
    paint.glasses(picture, who, x, y)
    paint.over(picture, hair[EYE_WINDOW], front[EYE_WINDOW])
    return picture


def _normals(who: Identity, x: np.ndarray, y: np.ndarray, face: np.ndarray, front: np.ndarray) -> np.ndarray:
    """The face's normals, those of a plain shell where hair covers it, facing the camera elsewhere."""
    bare = normals(depth(who, x, y), CANVAS.resolution)
    shell = normals(52 * np.sqrt(np.clip(1 - (x / 75) ** 2 - ((y - 5) / 125) ** 2, 0.05, 1)), CANVAS.resolution)
    ahead = np.array((0, 0, 1), np.float32)
    mixed = ahead + (bare - ahead) * face[..., None]
    mixed += (shell - mixed) * front[..., None]
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def lit(
    albedo: Float[np.ndarray, "h w 3"],
    normal: Float[np.ndarray, "h w 3"],
    gloss: Float[np.ndarray, "h w"],
    light: Light,
) -> Float[np.ndarray, "h w 3"]:
    """Colours under a light: wrapped diffuse, redder in the shade as skin is, and a soft highlight (Blinn 1977)."""
    towards = light.direction()
    diffuse = np.clip((normal @ towards + light.wrap) / (1 + light.wrap), 0, 1)
    shade = light.ambient + (light.key - light.ambient) * diffuse
    halfway = towards + np.array((0, 0, 1), np.float32)
    shine = np.clip(normal @ (halfway / np.linalg.norm(halfway)), 0, 1) ** 24 * gloss * light.gloss
    tint = np.stack([shade**0.88, shade, shade**1.06], axis=-1)
    return (albedo * tint + shine[..., None]).astype(np.float32)
