"""What hides a face: a cloth over its lower part, and something in front of one side of it."""

import numpy as np
from jaxtyping import Float

from data_pipelines.talker.head import CANVAS, lit
from data_pipelines.talker.identities import Identity
from data_pipelines.talker.paint import grain
from data_pipelines.talker.scene import Light
from data_pipelines.talker.surface import half_width, inside, soft

_TOP = 12.0  # y to which a cloth can reach, below the eyes
_CLOTH, _BOARD = (0.42, 0.55, 0.62), (0.30, 0.27, 0.25)
_EDGE, _WIDER = 3.0, 1.06  # units by which a cloth goes beyond the chin; its width over the face's


def cloth(who: Identity, share: float, normal: Float[np.ndarray, "h w 3"], light: Light) -> Float[np.ndarray, "h w 4"]:
    """A layer for the face's canvas: cloth from the chin up over a share of the way to below the eyes."""
    x, y = CANVAS.grid()
    top = who.chin - share * (who.chin - _TOP)
    mask = inside(x, y, half_width(who, y - _EDGE) * _WIDER) * soft(y - top, 1.5)
    weave = 1 + 0.06 * grain(np.random.default_rng(0), mask.shape, 1.0)
    colour = lit(np.array(_CLOTH, np.float32) * weave[..., None], normal, np.zeros_like(mask), light)
    return np.dstack([colour, mask]).astype(np.float32)


def board(who: Identity, share: float) -> Float[np.ndarray, "h w 4"]:
    """A layer for the picture of the head: a dark plane from the left over a share of the face's width."""
    x, y = CANVAS.grid()
    edge = who.face_width * (2 * share - 1)
    mask = soft(edge - x, 1.5) * np.ones_like(y)
    shade = 1 + 0.05 * grain(np.random.default_rng(1), mask.shape, 6.0)
    return np.dstack([np.array(_BOARD, np.float32) * shade[..., None], mask]).astype(np.float32)
