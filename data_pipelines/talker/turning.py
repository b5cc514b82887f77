"""A head that is turned: where each point of its picture goes, by the depth of the face."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from data_pipelines.talker.head import CANVAS
from data_pipelines.talker.identities import Identity
from data_pipelines.talker.surface import depth

_SMOOTH = 3.0  # pixels of the canvas
_NECK = 25.0  # units below the chin over which the neck ceases to turn


class Turning:
    """Turns pictures of one person's head about its own upright axis, seen from far away.

    Args:
        who: the person.
        degrees: to the picture's right, below 90.
    """

    def __init__(self, who: Identity, degrees: float):
        x, y = CANVAS.grid()
        z = ndimage.gaussian_filter(depth(who, x, y), _SMOOTH) * (1 - 0.8 * np.clip((y - who.chin) / _NECK, 0, 1))
        angle = np.deg2rad(abs(degrees))
        if degrees < 0:
            z = z[:, ::-1]
        gone_to = x * np.cos(angle) + z * np.sin(angle)
        seen = np.maximum.accumulate(gone_to, axis=1)  # what would lie further left is hidden by what turned before it
        columns = np.arange(CANVAS.width, dtype=np.float32)
        source = np.stack([np.interp(x[0], row, columns, left=-1, right=CANVAS.width) for row in seen])
        self._source = CANVAS.width - 1 - source[:, ::-1] if degrees < 0 else source

    def __call__(self, picture: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
        """The turned picture, linear between columns; nothing where it has none."""
        left = np.clip(self._source.astype(np.int32), 0, CANVAS.width - 2)
        part = np.clip(self._source - left, 0, 1).astype(np.float32)[..., None]
        rows = np.arange(CANVAS.height)[:, None]
        turned = picture[rows, left] * (1 - part) + picture[rows, left + 1] * part
        outside = (self._source < 0) | (self._source > CANVAS.width - 1)
        turned[outside] = 0
        return turned
