"""HuBERT's checkpoints: a model of `transformers` (with its config.json), or a file of fairseq's."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.interop import fairseq
from v2s_jax.interop.conv_text import conv_text, parse_convs
from v2s_jax.interop.load import Info, load, weight_shapes
from v2s_jax.interop.table import export_weights, import_weights, unwrapped
from v2s_jax.interop.tables.hubert import entries
from v2s_jax.interop.torch_file import read_checkpoint
from v2s_jax.models.hubert import CONVS, default_config
from v2s_jax.models.inference import Inference
from v2s_jax.models.settings import read_json

_WHAT, _PARTS = "HuBERT encoder", ("feature_extractor.conv_layers.",)
_LICENCE = (
    "The released HuBERT and wav2vec 2.0 weights are MIT (fairseq) or Apache-2.0 (transformers); other weights come "
    "under the terms of whoever trained them."
)
_FILES = ("model.safetensors", "pytorch_model.bin")
_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
_MODELS = ("hubert", "wav2vec2")
_SETTINGS = {  # of ours, and those of the same kind in config.json
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "hidden": "intermediate_size",
    "heads": "num_attention_heads",
    "conv_pos": "num_conv_pos_embeddings",
    "conv_pos_groups": "num_conv_pos_embedding_groups",
    "norm_first": "do_stable_layer_norm",
    "conv_norm": "feat_extract_norm",
    "conv_bias": "conv_bias",
    "dropout": "hidden_dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "layerdrop": "layerdrop",
    "dropout_input": "feat_proj_dropout",
}
# wav2vec 2.0 as fairseq builds it where its targets are not quantised: what was left is not needed, but for project_q.
_WITHOUT_QUANTIZER = {"quantize_targets": False, "quantize_input": False, "target_glu": False}


def load_hubert(
    path: str | os.PathLike, config: str | os.PathLike | None = None, dtype: DTypeLike = jnp.float32
) -> tuple[Inference, Info]:
    """An encoder, `model(waveform=, padding_mask=, layer=)` (see `models/hubert.py`), and where it comes from.

    Args:
        path: a weights file of `transformers` (.safetensors, .bin) or the folder it is in, a file of fairseq (.pt), or
            a folder that `v2s-jax import hubert` wrote.
        config: the model's config.json, by default the one beside the file; fairseq's files have their own.
        dtype: of the computation.

    Raises:
        V2SError: a file is missing, damaged or hostile, or holds no HuBERT encoder that can be read.
    """
    return load(path, read, "hubert", config, dtype)


def read(
    path: str | os.PathLike, config: str | os.PathLike | None = None
) -> tuple[ConfigDict, dict[str, np.ndarray], Info]:
    """An encoder's files in our terms: config, weights by dotted path, and where they come from."""
    path = _weights_file(Path(path))
    beside = Path(config) if config is not None else path.with_name(_CONFIG)
    if config is None and not beside.is_file():
        return _read_fairseq(path)
    return _read_transformers(path, beside)


def to_original(config: Mapping[str, Any], weights: Mapping[str, Any], info: Info) -> dict[str, Any]:
    """The files as the encoder came: of `transformers`, which is also the default, or of fairseq.

    Args:
        config: of the part, a plain dict.
        weights: arrays by dotted path.
        info: as `read` gives.
    """
    if info.get("layout") == "fairseq":
        return {"checkpoint.pt": _fairseq_checkpoint(config, weights, info)}
    original = info.get("original_config", {})
    kind = info.get("kind", "hubert")
    settings = {"model_type": kind, "architectures": [{"hubert": "HubertModel", "wav2vec2": "Wav2Vec2Model"}[kind]]}
    settings |= {key: value for key, value in original.items() if key not in settings}
    settings |= {theirs: config[ours] for ours, theirs in _SETTINGS.items()}
    columns = zip(*config["convs"], strict=True)
    settings |= {name: list(column) for name, column in zip(_CONV_KEYS, columns, strict=True)}
    settings |= {"num_feat_extract_layers": len(config["convs"]), "feat_proj_layer_norm": config["feature_norm"]}
    if config["mask_emb"] and not settings.get("mask_time_prob"):
        settings["mask_time_prob"] = 0.05  # where it is 0, `transformers` has no place for masked_spec_embed
    return {
        "model.safetensors": export_weights(entries(config), weights),
        _CONFIG: settings,
        _PREPROCESSOR: {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "do_normalize": config["normalise"],
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": config["conv_norm"] == "layer",
            "sampling_rate": 16_000,
        },
    }


_CONV_KEYS = ("conv_dim", "conv_kernel", "conv_stride")


def _weights_file(path: Path) -> Path:
    """The file itself, or that of a folder."""
    if not path.is_dir():
        return path
    for name in _FILES:
        if (path / name).is_file():
            return path / name
    raise V2SError(f"{path}: holds no weights; expected {' or '.join(_FILES)}")


def _read_transformers(path: Path, config_path: Path) -> tuple[ConfigDict, dict[str, np.ndarray], Info]:
    original = read_json(config_path)
    kind = original.get("model_type") if isinstance(original, dict) else None
    if kind not in _MODELS:
        raise V2SError(f"{config_path}: its model_type is {str(kind)[:40]!r}, expected {' or '.join(_MODELS)}")
    tree = read_checkpoint(path)
    prefix = f"{kind}."
    if not isinstance(tree, dict):
        raise V2SError(f"{path}: holds no {_WHAT}; expected a dict of tensors")
    tree = unwrapped(tree, path)
    if not any(key.startswith(prefix) for key in tree):
        prefix = ""
    state = {key.removeprefix(prefix): value for key, value in tree.items() if key.startswith(prefix)}
    normalise = _normalises(config_path.with_name(_PREPROCESSOR))
    ours = _config_of_transformers(original, state, normalise, config_path)
    weights, left = import_weights(entries(ours.to_dict()), state, weight_shapes(ours, path), path)
    return (
        ours,
        weights,
        _info(
            path,
            kind,
            "transformers",
            [*left, *(key for key in tree if not key.startswith(prefix))],
            fairseq.json_kinds(original),
        ),
    )


def _config_of_transformers(
    original: Mapping[str, Any], state: Mapping[str, Any], normalise: bool | None, where: Path
) -> ConfigDict:
    """Our settings; what config.json does not say is as in `transformers`' Base."""
    settings = fairseq.Settings(original, where)
    for name in ("hidden_act", "feat_extract_activation"):
        settings.refuse(name, "gelu", "only encoders with GELU can be read")
    settings.refuse("conv_pos_batch_norm", False, "encoders with a batch norm for positions cannot be read")
    settings.refuse("layer_norm_eps", 1e-5, "only layer norms with 1e-05 can be read")
    settings.refuse("add_adapter", False, "encoders with adapters cannot be read")
    config = default_config()
    for ours, theirs in _SETTINGS.items():
        config[ours] = settings(theirs, _TRANSFORMERS_DEFAULTS.get(ours, config[ours]))
    columns = [
        original.get(key, list(column)) for key, column in zip(_CONV_KEYS, zip(*CONVS, strict=True), strict=True)
    ]
    if not all(isinstance(column, list) and all(type(n) is int for n in column) for column in columns):
        raise V2SError(f"{where}: its {', '.join(_CONV_KEYS)} are not lists of numbers")
    if len({len(column) for column in columns}) > 1:
        raise V2SError(f"{where}: its {', '.join(_CONV_KEYS)} are of different lengths")
    config.convs = tuple(zip(*columns, strict=True))
    config.feature_norm = settings("feat_proj_layer_norm", True)
    config.feature_proj = True
    config.mask_emb = "masked_spec_embed" in state
    config.update(fairseq.head_settings(state))
    config.normalise = config.conv_norm == "layer" if normalise is None else normalise
    _check_norm(config, where)
    return config


_TRANSFORMERS_DEFAULTS = {"activation_dropout": 0.1, "layerdrop": 0.1, "dropout_input": 0.0}


def _normalises(path: Path) -> bool | None:
    """What a preprocessor_config.json, if there is one, says of normalising waveforms."""
    if not path.is_file():
        return None
    content = read_json(path)
    return fairseq.Settings(content if isinstance(content, dict) else {}, path)("do_normalize", True)


def _read_fairseq(path: Path) -> tuple[ConfigDict, dict[str, np.ndarray], Info]:
    if path.name in _FILES or path.suffix == ".safetensors":
        raise V2SError(f"{path}: there is no {_CONFIG} beside it; give the model's config, which says how it is built")
    found = fairseq.read_encoder(path, _WHAT, _PARTS)
    config = _config_of_fairseq(found, path)
    weights, left = import_weights(
        entries(config.to_dict(), "fairseq"),
        found.state,
        weight_shapes(config, path),
        path,
        lambda key: fairseq.leaves(config, key),
    )
    original = {"model": fairseq.json_kinds(found.model), "task": fairseq.json_kinds(found.task)}
    return config, weights, _info(path, found.kind, "fairseq", [*left, *found.left], original)


def _config_of_fairseq(found: fairseq.Encoder, path: Path) -> ConfigDict:
    """Our settings: the checkpoint's own, then what its tensors say, then the defaults of fairseq's code."""
    settings = fairseq.Settings(found.model, path)
    settings.refuse("quantize_input", False, "encoders of quantised input cannot be read")
    config = default_config()
    config.update(fairseq.transformer_settings(settings, found.state))
    config.convs = parse_convs(settings("conv_feature_layers", conv_text(CONVS)), path)
    config.conv_norm = {"default": "group", "layer_norm": "layer"}.get(
        mode := settings("extractor_mode", "default"), mode
    )
    _check_norm(config, path)
    config.conv_bias = settings("conv_bias", "feature_extractor.conv_layers.0.0.bias" in found.state)
    config.feature_norm = True
    config.feature_proj = any(key.startswith("post_extract_proj.") for key in found.state)
    config.mask_emb = "mask_emb" in found.state
    config.normalise = fairseq.Settings(found.task, path)("normalize", False)
    config.update(fairseq.head_settings(found.state))
    return config


def _info(path: Path, kind: str, layout: str, left: list[str], original: Mapping[str, Any]) -> Info:
    return {
        "kind": kind,
        "layout": layout,
        "source": path.name,
        "licence": _LICENCE,
        "left": sorted(left),
        "original_config": original,
    }


def _check_norm(config: ConfigDict, where: Path) -> None:
    if config.conv_norm not in ("group", "layer"):
        raise V2SError(
            f"{where}: its convolutions are normalised by {config.conv_norm[:40]!r}, expected group or layer"
        )


def _fairseq_checkpoint(config: Mapping[str, Any], weights: Mapping[str, Any], info: Info) -> dict[str, Any]:
    original = info.get("original_config", {})
    state = export_weights(entries(config, "fairseq"), weights)
    name, task_name, extra = "hubert", "hubert_pretraining", {}
    if fairseq.name_of(original.get("model", {})).startswith("wav2vec2"):
        name, task_name, extra = "wav2vec2", "audio_pretraining", _WITHOUT_QUANTIZER
        state |= {
            "project_q.weight": np.zeros((config["final_dim"], config["width"]), np.float32),
            "project_q.bias": np.zeros(config["final_dim"], np.float32),
        }
    model = {
        **original.get("model", {}),
        "_name": name,
        **extra,
        **fairseq.transformer_originals(config),
        "extractor_mode": {"group": "default", "layer": "layer_norm"}[config["conv_norm"]],
        "conv_feature_layers": conv_text(config["convs"]),
        "conv_bias": config["conv_bias"],
    }
    task = {"sample_rate": 16_000, **original.get("task", {}), "_name": task_name}
    task["normalize"] = config["normalise"]
    return fairseq.checkpoint(model, task, state, config["num_classes"])
