"""`interop/torch/denoisers.py`, and our `models/mel_transformer.py` and `models/dit.py`; and all denoisers by name."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import Entry, linear
from v2s_jax.interop.tables import transformer, unet1d

_AROUND = ("join", "time.widen", "time.out", "out")  # what those with layers alike have before and after them


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of the denoiser that the `decoder` section describes.

    Args:
        config: the section.
    """
    if config["name"] == "unet1d":
        return unet1d.entries(config)
    table = [entry for name in _AROUND for entry in linear(name, name)]
    layers = config["layers"]
    if config["name"] == "mel_transformer":
        return table + transformer.entries(layers, transformer.FAIRSEQ)
    for part in ("modulate", "qkv", "out", "widen", "narrow"):
        table += linear(f"layers.{{i}}.{part}", f"layers.{part}", layers)
    return table + linear("modulate", "modulate")
