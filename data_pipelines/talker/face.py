"""Frames of a talking head: still layers relit once a clip, then jaw, mouth, lids and pose for every frame."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from data_pipelines.talker.backdrop import behind, clothes
from data_pipelines.talker.head import CANVAS, EYE_LEVELS, EYE_WINDOW, lit, paint_head
from data_pipelines.talker.identities import Identity
from data_pipelines.talker.mouth import MouthShape, draw_mouth
from data_pipelines.talker.obstacles import board, cloth
from data_pipelines.talker.scene import Motion, Scene
from data_pipelines.talker.surface import half_width, soft
from data_pipelines.talker.turning import Turning
from data_pipelines.talker.visemes import shape_at

_NATIVE_HEIGHT = 288  # the picture height that scenes are measured in


class Puppet:
    """One person under one light, ready to be posed: `frame(mouth, lids)` gives the head's RGBA picture on `CANVAS`."""

    def __init__(self, who: Identity, scene: Scene):
        """Relights the person's layers."""
        head = paint_head(who)
        light = dataclasses.replace(scene.light, azimuth=scene.light.azimuth - scene.turn)  # as a turned head sees it
        self._who = who
        self._still = np.dstack([lit(head.albedo, head.normal, head.gloss, light), head.alpha])
        normal, gloss = head.normal[EYE_WINDOW], head.gloss[EYE_WINDOW]
        self._lids = [lit(lid, normal, gloss, light) for lid in head.lids]
        self._cloth = cloth(who, scene.covered, head.normal, light) if scene.covered else None
        self._turning = Turning(who, scene.turn) if scene.turn else None
        self._board = board(who, scene.beside) if scene.beside else None
        x, y = CANVAS.grid()
        self._mouth_window = CANVAS.window(-40, who.mouth_y - 20, 40, who.mouth_y + 32)
        self._mouth_x, self._mouth_y = x[:, self._mouth_window[1]], y[self._mouth_window[0]]
        self._jaw_window = CANVAS.window(-62, who.mouth_y - 14, 62, who.chin + 34)
        self._jaw = _jaw_reach(who, x[:, self._jaw_window[1]], y[self._jaw_window[0]])

    def frame(self, shape: MouthShape, lids: float) -> Float[np.ndarray, "H W 4"]:
        """The head with one mouth shape and openness of the lids, float32 [H, W, 4] RGBA in 0..1."""
        picture = self._still.copy()
        picture[..., :3][EYE_WINDOW] = self._lids[round(lids * (EYE_LEVELS - 1))]
        picture[self._jaw_window] = _drop(picture[self._jaw_window], self._jaw * (shape.jaw * CANVAS.resolution))
        draw_mouth(picture[..., :3][self._mouth_window], self._who, shape, self._mouth_x, self._mouth_y)
        if self._cloth is not None:
            _lay(picture, self._cloth)
        if self._turning is not None:
            picture = self._turning(picture)
        if self._board is not None:
            _lay(picture, self._board)
        return picture


def _lay(picture: Float[np.ndarray, "h w 4"], layer: Float[np.ndarray, "h w 4"]) -> None:
    """Lays a layer over the picture, both RGBA, in place; what it hides is covered as it is."""
    mask = layer[..., 3:]
    picture[..., :3] += (layer[..., :3] - picture[..., :3]) * mask
    picture[..., 3:] = np.maximum(picture[..., 3:], mask)


def _jaw_reach(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far each point [h, w] follows the jaw: 0 at the mouth, 1 at the chin, 0 down the neck and past the cheek."""
    down = soft(y - (who.mouth_y + 10), 2 * (who.chin - who.mouth_y - 10))
    back = soft(who.chin + 18 - y, 26)
    return down * back * soft(half_width(who, y * 0 + who.mouth_y) + 2 - np.abs(x), 10)


def _drop(picture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Moves each pixel [h, w, C] down by `shift` [h, w] pixels, linear between rows."""
    rows, columns = np.indices(shift.shape)
    source = np.clip(rows - shift, 0, shift.shape[0] - 1)
    upper = np.minimum(source.astype(np.int32), shift.shape[0] - 2)
    part = (source - upper).astype(np.float32)[..., None]
    above = picture[upper, columns]
    return above + (picture[upper + 1, columns] - above) * part


def frames(
    who: Identity,
    scene: Scene,
    motion: Motion,
    track: Float[np.ndarray, "T 10"],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Yields uint8 [height, width, 3] RGB frames, one for each row of the mouth track.

    Args:
      who: the person.
      scene: light, noise and framing.
      motion: pose frame by frame.
      track: [T, 10] mouth shapes.
      size: width and height of the picture.
      rng: for the sensor's noise.
    """
    width, height = size
    zoom = height / _NATIVE_HEIGHT
    left = (width - 360 * zoom) / 2  # a wider or narrower picture keeps the scene in its middle
    puppet = Puppet(who, scene)
    walls, (front, cover) = behind(who, scene, size, rng), clothes(who, scene, size, zoom, left)
    hem = int(np.argmax(cover.any(axis=(1, 2))))  # the first row that clothes cover
    noise = rng.standard_normal((height + 32, width + 32, 3), np.float32) * scene.noise
    for index in range(len(track)):
        picture = puppet.frame(shape_at(track, index), float(motion.lids[index]))
        centre = motion.centre[index] * zoom + (left, 0)
        image = walls(index)
        _paste(image, picture, centre, float(motion.scale[index]) * zoom, float(motion.roll[index]))
        image[hem:] += (front[hem:] - image[hem:]) * cover[hem:]
        image *= np.float32(motion.gain[index])
        at_y, at_x = rng.integers(0, 32, 2)
        image += noise[at_y : at_y + height, at_x : at_x + width]
        yield np.clip(image + 0.5, 0, 255).astype(np.uint8)


def _paste(image: np.ndarray, picture: np.ndarray, centre: np.ndarray, scale: float, roll: float) -> None:
    """Lays the head's picture, turned and scaled, over the image [height, width, 3] in 0..255, in place."""
    height, width = image.shape[:2]
    reach = scale * (-CANVAS.left + abs(CANVAS.top * np.sin(roll)))  # columns that the canvas can touch
    left, right = max(0, int(centre[0] - reach)), min(width, int(centre[0] + reach) + 1)
    ratio = CANVAS.resolution / scale  # canvas pixels to a picture pixel
    cos, sin = ratio * np.cos(roll), ratio * np.sin(roll)
    x0, y0 = -CANVAS.left * CANVAS.resolution, -CANVAS.top * CANVAS.resolution
    dx, dy = left - centre[0], -centre[1]
    matrix = (cos, sin, x0 + cos * dx + sin * dy, -sin, cos, y0 - sin * dx + cos * dy)
    head = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8), "RGBA")
    posed = np.asarray(head.transform((right - left, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))
    part = image[:, left:right]
    part += (posed[..., :3] - part) * (posed[..., 3:] * np.float32(1 / 255))
