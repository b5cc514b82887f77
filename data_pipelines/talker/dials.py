"""What makes a talker's clip harder to read, by name and amount: `turn=30`, or `dark=0.9+clutter=1`."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from data_pipelines.talker.scene import Scene
from v2s_jax.amounts import parse_amounts

_LOW = 15.0  # degrees: the elevation of a lamp that stands beside somebody


class Dial(NamedTuple):
    """A way to get harder: the scene with an amount of it, the greatest one (0 changes nothing), what it counts."""

    turned: Callable[[Scene, float], Scene]
    most: float
    unit: str


def _side(scene: Scene, amount: float) -> Scene:
    """The lamp goes round to the side, and down, and lights less and less of what turns away from it."""
    part, light = amount / 90, scene.light
    lamp = dataclasses.replace(
        light,
        azimuth=light.azimuth + part * (90 - light.azimuth),
        elevation=light.elevation + part * (_LOW - light.elevation),
        ambient=light.ambient * (1 - 0.9 * part),
        wrap=light.wrap * (1 - part),
    )
    return dataclasses.replace(scene, light=lamp)


DIALS = {
    "dark": Dial(lambda scene, x: dataclasses.replace(scene, exposure=1 - x), 1.0, "share of the light that is gone"),
    "side": Dial(_side, 90.0, "degrees that the lamp has gone to the side"),
    "clutter": Dial(lambda scene, x: dataclasses.replace(scene, clutter=x), 1.0, "contrast of what is behind"),
    "turn": Dial(lambda scene, x: dataclasses.replace(scene, turn=x), 60.0, "degrees that the head is turned"),
    "covered": Dial(
        lambda scene, x: dataclasses.replace(scene, covered=x),
        1.0,
        "share of the face from the chin to below the eyes that is hidden",
    ),
    "beside": Dial(
        lambda scene, x: dataclasses.replace(scene, beside=x), 1.0, "share of the face's width that is hidden"
    ),
}


def parse(text: str) -> list[tuple[str, float]]:
    """The dials and amounts of a text, in its order.

    Raises:
        V2SError: there is no such dial, or it does not go so far.
    """
    return parse_amounts(text, DIALS, "dial of a scene")


def dialled(scene: Scene, text: str) -> Scene:
    """The scene with dials turned as a text says.

    Raises:
        V2SError: as `parse`.
    """
    for name, amount in parse(text):
        if amount:
            scene = DIALS[name].turned(scene, amount)
    return scene
