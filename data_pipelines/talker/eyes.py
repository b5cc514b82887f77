"""The eyes at any openness of the lids."""

import numpy as np
from jaxtyping import Float

from data_pipelines.talker.identities import Identity
from data_pipelines.talker.paint import over
from data_pipelines.talker.surface import soft


def eyes(
    picture: Float[np.ndarray, "h w 3"],
    who: Identity,
    x: Float[np.ndarray, "1 w"],
    y: Float[np.ndarray, "h 1"],
    openness: float,
) -> None:
    """Draws both eyes into the picture [H, W, 3] in place; openness 0 closed to 1 open."""
    half = 9.1 * (0.55 + 0.45 * who.eye_size)
    along = (np.abs(x) - who.eye_distance) / half  # -1 inner corner, 1 outer
    arch = np.clip(1 - along**2, 0, 1)
    tilt = -0.9 * along  # the outer corner lies a little higher
    low = tilt + 2.7 * who.eye_size * arch**0.8
    up = low - (0.4 + 7.4 * who.eye_size * openness) * arch**0.65
    corners = soft((1 - np.abs(along)) * half, 1.5)
    opening = soft(np.minimum(y - up, low - y), 0.9) * corners * min(1.0, 2 * openness)
    over(picture, np.array((0.93, 0.91, 0.89)), opening)
    over(picture, (0.80, 0.58, 0.54), opening * soft(-along - 0.80, 0.2))  # tear duct
    ball = np.hypot(np.abs(x) - who.eye_distance + 0.3, y + 0.9)
    iris = np.array(who.iris) * (0.85 + 0.5 * np.clip(ball / 4.8, 0, 1))[..., None]
    over(picture, iris, opening * soft(4.9 - ball, 0.8))
    over(picture, np.array(who.iris) * 0.35, opening * soft(0.7 - np.abs(ball - 4.7), 0.8))
    over(picture, (0.03, 0.03, 0.03), opening * soft(2.1 - ball, 0.7))
    shade = np.exp(-np.clip(y - up, 0, None) / 1.8)  # the lid's shadow on the ball
    over(picture, (0.12, 0.09, 0.09), 0.62 * shade * opening)
    glint = np.hypot(x - np.sign(x) * who.eye_distance + 1.5, y + 2.7)
    over(picture, (1.0, 1.0, 1.0), 0.9 * opening * soft(0.9 - glint, 0.8))
    dark = np.array(who.hair) * 0.35
    thick = 1.15 if who.female else 0.85
    lash = soft(thick - np.abs(y - up + 0.2), 0.9) * soft((1.06 - np.abs(along)) * half, 2)
    over(picture, dark, 0.88 * lash)
    over(picture, np.array(who.skin) * (0.60, 0.45, 0.42), 0.50 * soft(0.5 - np.abs(y - low - 0.3), 1.0) * corners)
    crease = up - 1.4 - 2.4 * openness * arch**0.5
    over(picture, np.array(who.skin) * (0.60, 0.45, 0.42), 0.55 * soft(0.6 - np.abs(y - crease), 1.2) * corners)
