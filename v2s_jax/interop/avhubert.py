"""AV-HuBERT's checkpoints: pre-trained, or fine-tuned with a decoder or a CTC projection, which are left."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.interop import fairseq
from v2s_jax.interop.load import Info, load, weight_shapes
from v2s_jax.interop.table import count, export_weights, import_weights, shape_of
from v2s_jax.interop.tables.avhubert import entries
from v2s_jax.models.avhubert import default_config
from v2s_jax.models.inference import Inference

_WHAT, _PARTS = "AV-HuBERT encoder", ("feature_extractor_video.", "feature_extractor_audio.")
_LICENCE = (
    "AV-HuBERT's code and released weights are licensed by Meta for non-commercial research only, and so is what that "
    "software gives; other weights come under the terms of whoever trained them."
)
_RESNET = "feature_extractor_video.resnet"
_SETTINGS = {  # of ours, read off and written to settings of the same kind under fairseq's names
    "feature_grad_mult": "feature_grad_mult",
    "mask_prob_video": "mask_prob_image",
    "mask_length_video": "mask_length_image",
    "mask_prob_audio": "mask_prob_audio",
    "mask_length_audio": "mask_length_audio",
    "mask_selection": "selection_type",
    "modality_dropout": "modality_dropout",
    "audio_dropout": "audio_dropout",
    "temperature": "logit_temp",
}
_DATACLASS = {  # what fairseq's own defaults are, where a checkpoint does not say
    "feature_grad_mult": 1.0,
    "mask_prob_video": 0.65,
    "mask_length_video": 10,
    "mask_prob_audio": 0.65,
    "mask_length_audio": 10,
    "mask_selection": "same_other_seq",
    "modality_dropout": 0.0,
    "audio_dropout": 0.0,
}
_TASK = {  # what a clip was prepared with, as all released models were
    "image_crop_size": 88,
    "image_mean": 0.421,
    "image_std": 0.165,
    "stack_order_audio": 4,
    "normalize": True,
    "modalities": ["audio", "video"],
    "sample_rate": 25,
}
_LABELS = {"labels": ["km"], "label_rate": 25}  # of the pre-training, which its code asks the task for


def load_avhubert(path: str | os.PathLike, dtype: DTypeLike = jnp.float32) -> tuple[Inference, Info]:
    """An encoder, `model(video=, audio=, padding_mask=, layer=)` (see `models/avhubert.py`), and where it comes from.

    Args:
        path: a fairseq file, or a folder that `v2s-jax import avhubert` wrote.
        dtype: of the computation.

    Raises:
        V2SError: the file is missing, damaged or hostile, or holds no AV-HuBERT encoder that can be read.
    """
    return load(path, read, "avhubert", dtype=dtype)


def read(
    path: str | os.PathLike, config: str | os.PathLike | None = None
) -> tuple[ConfigDict, dict[str, np.ndarray], Info]:
    """An encoder's file in our terms: config, weights by dotted path, and where they come from."""
    path = Path(path)
    if config is not None:
        raise V2SError(f"{path}: an AV-HuBERT file has its own config; leave {config} out")
    found = fairseq.read_encoder(path, _WHAT, _PARTS)
    ours = _our_config(found.model, found.state, path)
    shapes = weight_shapes(ours, path)
    weights, left = import_weights(
        entries(ours.to_dict()), found.state, shapes, path, lambda key: fairseq.leaves(ours, key)
    )
    task = fairseq.json_kinds(found.task)
    info = {
        "kind": found.kind,
        "source": path.name,
        "licence": _LICENCE,
        "left": sorted([*left, *found.left]),
        "inputs": {name: task.get(name, value) for name, value in _TASK.items()},
        "original_config": {"model": fairseq.json_kinds(found.model), "task": task},
    }
    return ours, weights, info


def to_original(config: Mapping[str, Any], weights: Mapping[str, Any], info: Info) -> dict[str, Any]:
    """`checkpoint.pt` as AV-HuBERT's code reads a pre-trained encoder.

    It wants a head and a mask embedding, too: those that the part lacks are zeros.

    Args:
        config: of the part, a plain dict.
        weights: arrays by dotted path.
        info: as `read` gives; what it lacks gets the settings of the released models.
    """
    original = info.get("original_config", {})
    model = {
        **original.get("model", {}),
        "_name": "av_hubert",
        **fairseq.transformer_originals(config),
        **{theirs: config[ours] for ours, theirs in _SETTINGS.items()},
        "audio_feat_dim": config["audio_dim"],
        "modality_fuse": config["fusion"],
        "resnet_relu_type": config["activation"],
        "sub_encoder_layers": 0,
        "masking_type": "input" if config["masking"] == "none" else config["masking"],
    }
    task = _TASK | _LABELS | original.get("task", {}) | {"_name": "av_hubert_pretraining"}
    sizes = {  # of what its code always has, and an encoder of a fine-tuned file does not
        "final_proj.weight": (config["final_dim"], config["width"]),
        "final_proj.bias": (config["final_dim"],),
        "mask_emb": (config["audio_dim"],),
    }
    state = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
    state |= export_weights(entries(config), weights)
    return {"checkpoint.pt": fairseq.checkpoint(model, task, state, config["num_classes"])}


def _our_config(model: Mapping[str, Any], state: Mapping[str, Any], path: Path) -> ConfigDict:
    """Our settings: the checkpoint's own, then what its tensors say, then the defaults of fairseq's code."""
    settings = fairseq.Settings(model, path)
    settings.refuse("sub_encoder_layers", 0, "encoders with transformers on each modality cannot be read")
    config = default_config()
    config.update(fairseq.transformer_settings(settings, state))
    for ours, theirs in _SETTINGS.items():
        config[ours] = settings(theirs, _DATACLASS.get(ours, config[ours]))
    config.update(_shape_settings(settings, state, config.width))
    config.update(fairseq.head_settings(state))
    if config.fusion not in ("concat", "add") or config.activation not in ("relu", "prelu"):
        raise V2SError(
            f"{path}: its modalities are fused by {config.fusion!r} and its ResNet has {config.activation!r}"
        )
    return config


def _shape_settings(settings: fairseq.Settings, state: Mapping[str, Any], width: int) -> dict[str, Any]:
    """Everything around the transformer, whose width is given, off the settings or else off the tensors."""
    audio_dim = settings("audio_feat_dim", -1)
    if audio_dim == -1:  # fairseq's own word for a size that only the data say
        default = default_config().audio_dim
        audio_dim = shape_of(state, ["feature_extractor_audio.proj.weight"], (width, default))[1]
    masking = "none"
    if "mask_emb" in state:
        sizes = {"input": audio_dim, "feature": width}
        masking = settings("masking_type", "input")
        found = shape_of(state, ["mask_emb"], (0,))
        if found != (sizes.get(masking),):
            masking = next((name for name, size in sizes.items() if found == (size,)), masking)
    return {
        "resnet": _resnet_widths(state),
        "activation": settings("resnet_relu_type", "prelu" if f"{_RESNET}.frontend3D.2.weight" in state else "relu"),
        "audio_dim": audio_dim,
        "fusion": settings("modality_fuse", "concat" if "post_extract_proj.weight" in state else "add"),
        "masking": masking,
    }


def _resnet_widths(state: Mapping[str, Any]) -> tuple[int, ...]:
    """Channels of the stem and of each stage after the first, off their norms and else as in the released models."""
    stages = count(state, rf"{re.escape(_RESNET)}\.trunk\.layer(\d)\.") - 1
    norms = [f"{_RESNET}.frontend3D.1", *(f"{_RESNET}.trunk.layer{stage}.0.bn1" for stage in range(2, stages + 1))]
    return tuple(
        shape_of(state, [f"{norm}.weight", f"{norm}.bias"], (64 << index,))[0] for index, norm in enumerate(norms)
    )
