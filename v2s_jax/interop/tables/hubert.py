"""HuBERT in the layouts of `transformers` and of fairseq, and our `models/hubert.py`."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import CONV1D, Entry, linear, norm
from v2s_jax.interop.tables import transformer
from v2s_jax.interop.tables.avhubert import head_entries

LAYOUTS = ("transformers", "fairseq")


def entries(config: Mapping[str, Any], layout: str = "transformers") -> list[Entry]:
    """The table of an encoder and of what its config says is beside it.

    Args:
        config: its `model` section.
        layout: one of `LAYOUTS`.
    """
    theirs = layout == "transformers"
    table = []
    for index in range(len(config["convs"])):
        table += _conv_entries(config, index, theirs)
    if config["feature_norm"]:
        table += norm("feature_projection.layer_norm" if theirs else "layer_norm", "feature_norm")
    if config["feature_proj"]:
        table += linear("feature_projection.projection" if theirs else "post_extract_proj", "feature_proj")
    table += transformer.entries(config["layers"], transformer.TRANSFORMERS if theirs else transformer.FAIRSEQ)
    if config["mask_emb"]:
        table.append(Entry("masked_spec_embed" if theirs else "mask_emb", "mask_emb"))
    return table + head_entries(config)


def _conv_entries(config: Mapping[str, Any], index: int, theirs: bool) -> list[Entry]:
    block, ours = f"feature_extractor.conv_layers.{index}", f"convs.{index}"
    conv = f"{block}.conv" if theirs else f"{block}.0"
    table = [Entry(f"{conv}.weight", f"{ours}.kernel", CONV1D)]
    if config["conv_bias"]:
        table.append(Entry(f"{conv}.bias", f"{ours}.bias"))
    if config["conv_norm"] == "layer":
        table += norm(f"{block}.layer_norm" if theirs else f"{block}.2.1", f"{ours}.norm")
    elif index == 0:
        table += norm(f"{block}.layer_norm" if theirs else f"{block}.2", f"{ours}.norm")
    return table
