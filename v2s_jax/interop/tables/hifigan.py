"""HiFi-GAN's generator and critics in the original's layout, and our `models/hifigan.py` and `models/critics.py`.

Weight norm is written as `weight_g` and `weight_v` (what published files have); the spelling of newer PyTorch is
accepted, too. Its gain is a vector here and has the weight's number of axes there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from v2s_jax.interop.table import CONV1D, CONV_TRANSPOSE1D, Entry, Transform

_GAIN = Transform(lambda a: a[:, 0, 0], lambda a: a[:, None, None])
# The period critics' kernels are two-dimensional there, one phase wide.
_GAIN2D = Transform(lambda a: a[:, 0, 0, 0], lambda a: a[:, None, None, None])
_PERIOD = Transform(lambda a: np.transpose(a[..., 0], (2, 1, 0)), lambda a: np.transpose(a, (2, 1, 0))[..., None])
_PERIOD_CONVS = 5
_SCALE_CONVS = 7


def entries(config: Mapping[str, Any], foreign: str = "", ours: str = "") -> list[Entry]:
    """The table of a generator.

    Args:
        config: its `model` section.
        foreign: what its keys begin with, with the last dot.
        ours: likewise.
    """
    halves = ("convs1", "convs2") if config["resblock"] == "1" else ("convs",)
    stages = len(config["upsample_rates"])
    table = _weight_norm(f"{foreign}conv_pre", f"{ours}conv_pre")
    for stage in range(stages):
        table += _weight_norm(f"{foreign}ups.{stage}", f"{ours}ups.{stage}", CONV_TRANSPOSE1D)
    dilations = list(config["resblock_dilation_sizes"]) * stages
    for block, own in enumerate(dilations):
        names = [f"resblocks.{block}.{half}.{index}" for half in halves for index in range(len(own))]
        for name in names:
            table += _weight_norm(f"{foreign}{name}", f"{ours}{name}")
    return table + _weight_norm(f"{foreign}conv_post", f"{ours}conv_post")


def critic_entries(config: Mapping[str, Any], ours: str = "") -> list[Entry]:
    """The table of the critics, their keys below `mpd.` and `msd.`.

    Args:
        config: the `critics` section of a hifigan system.
        ours: what our paths begin with, with the last dot.
    """
    table = []
    for number in range(len(config["periods"])):
        foreign, own = f"mpd.discriminators.{number}", f"{ours}periods.{number}"
        for conv in _convs(_PERIOD_CONVS):
            table += _weight_norm(f"{foreign}.{conv}", f"{own}.{conv}", _PERIOD, _GAIN2D)
    for number in range(config["scales"]):
        foreign, own = f"msd.discriminators.{number}", f"{ours}scales.{number}"
        for conv, width in zip(_convs(_SCALE_CONVS), _scale_inputs(config), strict=True):
            name = f"{foreign}.{conv}", f"{own}.{conv}"
            table += _weight_norm(*name) if number else _spectral_norm(*name, width)
    return table


def system_entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of a whole hifigan system: `generator.`, `mpd.` and `msd.`.

    Args:
        config: its `system` section.
    """
    return entries(config["generator"], "generator.", "generator.") + critic_entries(config["critics"], "critics.")


def _convs(count: int) -> list[str]:
    return [*(f"convs.{index}" for index in range(count)), "conv_post"]


def _scale_inputs(config: Mapping[str, Any]) -> list[int]:
    """Channels that each kernel of a scale critic reads."""
    widths, groups = (1, *config["scale_channels"]), (*config["scale_groups"], 1)
    return [width // split for width, split in zip(widths, groups, strict=True)]


def _weight_norm(foreign: str, ours: str, weight: Transform = CONV1D, gain: Transform = _GAIN) -> list[Entry]:
    new = f"{foreign}.parametrizations.weight.original"
    return [
        Entry(f"{foreign}.bias", f"{ours}.bias"),
        Entry(f"{foreign}.weight_g", f"{ours}.weight_g", gain, aliases=(f"{new}0",)),
        Entry(f"{foreign}.weight_v", f"{ours}.weight_v", weight, aliases=(f"{new}1",)),
    ]


def _spectral_norm(foreign: str, ours: str, width: int) -> list[Entry]:
    new = f"{foreign}.parametrizations.weight"
    vector = Transform(lambda a: a.reshape(width, -1).T, lambda a: a.T.reshape(-1))  # channels before taps there
    return [
        Entry(f"{foreign}.bias", f"{ours}.bias"),
        Entry(f"{foreign}.weight_orig", f"{ours}.weight_orig", CONV1D, aliases=(f"{new}.original",)),
        Entry(f"{foreign}.weight_u", f"{ours}.weight_u", aliases=(f"{new}.0._u",)),
        Entry(f"{foreign}.weight_v", f"{ours}.weight_v", vector, aliases=(f"{new}.0._v",)),
    ]


def split_folded(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A generator's tensors with weight norm put back where `remove_weight_norm` had folded it away.

    Args:
        state: by key, without a prefix.

    Returns:
        The same with `weight_g` and `weight_v` in place of every three-dimensional `weight`, its norm and itself.
    """
    split = {}
    for key, value in state.items():
        name, _, last = key.rpartition(".")
        if last == "weight" and getattr(value, "ndim", 0) == 3:
            weight = np.asarray(value, np.float32)
            split[f"{name}.weight_g"] = np.sqrt((weight.astype(np.float64) ** 2).sum((1, 2), keepdims=True)).astype(
                "f4"
            )
            split[f"{name}.weight_v"] = weight
        else:
            split[key] = value
    return split
