"""`interop/torch/spectral.py` and our `models/spectral.py`."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import CONV1D, DEPTHWISE1D, Entry, linear, norm


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of a spectral vocoder; `config` is its `model` section."""
    table = [Entry("embed.weight", "embed", CONV1D), Entry("embed.bias", "embed_bias"), *linear("head", "head")]
    return table + [entry for index in range(config["blocks"]) for entry in block(f"blocks.{index}")]


def block(name: str) -> list[Entry]:
    """The entries of a block over time, which has the same name on both sides."""
    return [
        Entry(f"{name}.depthwise.weight", f"{name}.depthwise", DEPTHWISE1D),
        *norm(f"{name}.norm", f"{name}.norm"),
        *linear(f"{name}.widen", f"{name}.widen"),
        *linear(f"{name}.narrow", f"{name}.narrow"),
        Entry(f"{name}.layer_scale", f"{name}.layer_scale"),
    ]
