"""AV-HuBERT's encoder in fairseq's layout, and our `models/avhubert.py`."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import Entry, linear, norm
from v2s_jax.interop.tables import resnet, transformer


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of an encoder and of what its config says is beside it.

    Args:
        config: its `model` section.
    """
    table = [
        *resnet.entries(config["resnet"], config["activation"], "feature_extractor_video.resnet", "frontend"),
        *linear("feature_extractor_video.proj", "video_proj"),
        *linear("feature_extractor_audio.proj", "audio_proj"),
        *norm("layer_norm", "norm"),
        *(linear("post_extract_proj", "fuse_proj") if config["fusion"] == "concat" else ()),
        *transformer.entries(config["layers"], transformer.FAIRSEQ),
    ]
    if config["masking"] != "none":
        table.append(Entry("mask_emb", "mask_emb"))
    return table + head_entries(config)


def head_entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of what pre-training adds: the projection and the label embeddings, where the config has them."""
    table = linear("final_proj", "final_proj") if config["final_proj"] else []
    return table + ([Entry("label_embs_concat", "label_embs")] if config["num_classes"] else [])
