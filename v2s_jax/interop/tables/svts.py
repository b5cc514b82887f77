"""`interop/torch/svts.py` and our `systems/svts.py`."""

from collections.abc import Callable, Mapping
from typing import Any

from v2s_jax.interop.table import DEPTHWISE1D, Entry, batch_norm, linear, norm
from v2s_jax.interop.tables import resnet


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of an SVTS; `config` is its `system` section."""
    return [*frontend(config), *decoder(config), *linear("head", "head")]


def frontend(config: Mapping[str, Any]) -> list[Entry]:
    """The part that sees."""
    return resnet.entries(config["resnet"], config["activation"], "resnet", "frontend")


def decoder(config: Mapping[str, Any], normed: Callable[[str, str], list[Entry]] = batch_norm) -> list[Entry]:
    """The others but the head; `normed` gives the entries of the conformer's batch norms."""
    blocks = (conformer_block(f"conformer.blocks.{index}", normed) for index in range(config["blocks"]))
    return [
        *linear("project", "project"),
        *(entry for block in blocks for entry in block),
        *(linear("text_head", "text_head") if config["ctc_weight"] else []),
    ]


def conformer_block(name: str, normed: Callable[[str, str], list[Entry]] = batch_norm) -> list[Entry]:
    """The entries of a conformer block, which has the same name on both sides."""
    table = norm(f"{name}.norm", f"{name}.norm")
    for part, layers in _LINEAR.items():
        table += norm(f"{name}.{part}.norm", f"{name}.{part}.norm")
        table += [e for layer in layers for e in linear(f"{name}.{part}.{layer}", f"{name}.{part}.{layer}")]
    attention, conv = f"{name}.attention", f"{name}.conv"
    return [
        *table,
        *linear(f"{attention}.position", f"{attention}.position", bias=False),
        *(Entry(f"{attention}.{bias}", f"{attention}.{bias}") for bias in ("bias_u", "bias_v")),
        Entry(f"{conv}.depthwise.weight", f"{conv}.depthwise", DEPTHWISE1D),
        *normed(f"{conv}.depthwise_norm", f"{conv}.depthwise_norm"),
    ]


_LINEAR = {
    "feed_forward1": ("widen", "narrow"),
    "attention": ("query", "key", "value", "out"),
    "conv": ("gate", "out"),
    "feed_forward2": ("widen", "narrow"),
}
