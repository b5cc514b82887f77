"""`interop/torch/unet1d.py` and our `models/unet1d.py`."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import CONV1D, CONV_TRANSPOSE1D, Entry, Transform, linear, norm


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of the U-Net that the `decoder` section describes.

    Args:
        config: the section.
    """
    levels, last = len(config["widths"]), len(config["widths"]) - 1
    table = [entry for name in ("see", "time.widen", "time.out", "out") for entry in linear(name, name)]
    table += [*_conv("conv"), *norm("norm", "norm")]
    for part, count in (("down", levels), ("middle", config["middle"]), ("up", levels)):
        for index in range(count):
            table += _level(f"{part}.{index}", config["blocks"])
    for index in range(levels):
        table += _conv(f"shrink.{index}")
        table += _conv(f"grow.{index}", CONV1D if index == last else CONV_TRANSPOSE1D)
    return table


def _conv(name: str, transform: Transform = CONV1D) -> list[Entry]:
    return [Entry(f"{name}.weight", f"{name}.kernel", transform), Entry(f"{name}.bias", f"{name}.bias")]


def _level(name: str, blocks: int) -> list[Entry]:
    table = [entry for part in ("time", "skip") for entry in linear(f"{name}.mix.{part}", f"{name}.mix.{part}")]
    for half in (1, 2):
        table += [*_conv(f"{name}.mix.conv{half}"), *norm(f"{name}.mix.norm{half}", f"{name}.mix.norm{half}")]
    for block in (f"{name}.blocks.{index}" for index in range(blocks)):
        table += linear(f"{block}.qkv", f"{block}.qkv", bias=False)
        for part in ("out", "widen", "narrow"):
            table += linear(f"{block}.{part}", f"{block}.{part}")
        for part in ("attention_norm", "final_norm"):
            table += norm(f"{block}.{part}", f"{block}.{part}")
        table += [Entry(f"{block}.snake.{name}", f"{block}.snake.{name}") for name in ("alpha", "beta")]
    return table
