"""fairseq's checkpoints: an encoder's own config and tensors out of a pre-trained or fine-tuned file, and back."""

import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.interop.records import plain
from v2s_jax.interop.torch_file import read_checkpoint

_PREFIXES = ("encoder.w2v_model.", "w2v_encoder.w2v_model.")  # of the encoder in seq2seq and in CTC files
_HEAD = ("final_proj.", "label_embs_concat", "target_glu.")
_MAX_TEXT = 4096  # characters of a setting that is handed on


class Settings:
    """A checkpoint's own settings by name; those that nobody asks for are of no account.

    Args:
        values: by name.
        where: the file, to be named in an error.
    """

    def __init__(self, values: Mapping[str, Any], where: str | os.PathLike):
        self._values, self._where = values, where

    def __call__(self, name: str, default: Any) -> Any:
        """A setting, or the default where the checkpoint does not say.

        Raises:
            V2SError: its value is not of the default's type.
        """
        value = self._values.get(name)
        if value is None or (isinstance(value, str) and value.startswith("${")):  # not resolved when it was saved
            return default
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not type(default):
            raise V2SError(
                f"{self._where}: its config says {name} = {str(value)[:40]!r}, expected a value such as {default!r}"
            )
        return value

    def refuse(self, name: str, only: Any, what: str) -> None:
        """Raises where a setting is another than the only one that there is code for.

        Raises:
            V2SError: it is.
        """
        if (value := self(name, only)) != only:
            raise V2SError(f"{self._where}: its config says {name} = {str(value)[:40]!r}; {what}")


class Encoder(NamedTuple):
    """What a checkpoint says of its encoder.

    Attributes:
        kind: fairseq's name of the whole model.
        model: the encoder's settings.
        task: those of the task, the fine-tuning's before the pre-training's.
        state: the encoder's tensors under the names that they have in a pre-trained file.
        left: names of the tensors that are not the encoder's.
    """

    kind: str
    model: dict[str, Any]
    task: dict[str, Any]
    state: dict[str, Any]
    left: list[str]


def read_encoder(path: str | os.PathLike) -> Encoder:
    """The encoder of a fairseq file, pre-trained or fine-tuned with a decoder (seq2seq) or a projection (CTC).

    Raises:
        V2SError: the file is no such checkpoint, or does not say what its encoder is.
    """
    path = Path(path)
    tree = read_checkpoint(path)
    described = (tree.get("cfg") or tree.get("args")) if isinstance(tree, dict) else None
    if described is None or not isinstance(tree.get("model"), dict):
        raise V2SError(f"{path}: no fairseq checkpoint; expected a dict with `model` and with `cfg` or `args`")
    model, task = _sections(plain(described, path))
    kind = str(model.get("_name") or model.get("arch") or "unknown")
    prefix = next((prefix for prefix in _PREFIXES if any(key.startswith(prefix) for key in tree["model"])), "")
    if prefix:
        inner = model.get("w2v_args")
        if not isinstance(inner, dict):
            raise V2SError(f"{path}: its config does not describe the encoder that was fine-tuned (no w2v_args)")
        model, inner_task = _sections(inner)
        task = inner_task | task
    state = {key.removeprefix(prefix): value for key, value in tree["model"].items() if key.startswith(prefix)}
    left = [key for key in tree["model"] if not key.startswith(prefix)]
    return Encoder(kind, model, task, state, left)


def _sections(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `model` and `task` sections of a config; of an old, flat one, all of it twice."""
    config = config if isinstance(config, dict) else {}
    if not isinstance(config.get("model"), dict):
        return config, config
    task = config.get("task")
    return config["model"], task if isinstance(task, dict) else {}


def shape_of(state: Mapping[str, Any], keys: Iterable[str], where: str | os.PathLike, what: str) -> tuple[int, ...]:
    """Shape of the first of several tensors that is there.

    Raises:
        V2SError: none is, so that the file does not hold `what`.
    """
    keys = list(keys)
    for key in keys:
        if isinstance(state.get(key), np.ndarray):
            return state[key].shape
    raise V2SError(f"{where}: holds no {what} (no tensor {keys[0]})")


def transformer_settings(settings: Settings, state: Mapping[str, Any], where: Path, what: str) -> dict[str, Any]:
    """The keys of our config that `models/transformer.py` reads, off the settings or else off the tensors.

    Args:
        settings: the encoder's.
        state: the encoder's tensors.
        where: the file, to be named in an error.
        what: it should hold, likewise.

    Raises:
        V2SError: it does not, or has settings that there is no code for.
    """

    def shape(*keys: str) -> tuple[int, ...]:
        return shape_of(state, (f"encoder.{key}" for key in keys), where, what)

    settings.refuse("activation_fn", "gelu", "only encoders with GELU can be read")
    settings.refuse("layer_type", "transformer", "conformers cannot be read")
    settings.refuse("pos_conv_depth", 1, "only encoders with one positional convolution can be read")
    width = settings("encoder_embed_dim", shape("layer_norm.weight")[0])
    taps = shape("pos_conv.0.weight_v", "pos_conv.0.parametrizations.weight.original1")
    if len(taps) != 3 or not taps[1]:
        raise V2SError(f"{where}: holds no {what} (encoder.pos_conv.0 is {taps}, expected three axes)")
    return {
        "layers": settings("encoder_layers", count_layers(state)),
        "width": width,
        "hidden": settings("encoder_ffn_embed_dim", shape("layers.0.fc1.weight")[0]),
        "heads": settings("encoder_attention_heads", max(1, width // 64)),  # 64 wide in every released model
        "conv_pos": settings("conv_pos", taps[2]),
        "conv_pos_groups": settings("conv_pos_groups", taps[0] // taps[1]),
        "norm_first": settings("layer_norm_first", False),
        "dropout": settings("dropout", 0.1),
        "attention_dropout": settings("attention_dropout", 0.1),
        "activation_dropout": settings("activation_dropout", 0.0),
        "layerdrop": settings("encoder_layerdrop", 0.0),
        "dropout_input": settings("dropout_input", 0.0),
    }


def count_layers(state: Mapping[str, Any]) -> int:
    """How many transformer layers the tensors are of."""
    found = (re.match(r"encoder\.layers\.(\d{1,4})\.", key) for key in state)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def head_settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of our config that say what of the pre-training's head is there.

    Heads that were trained on several sets of labels, with a projection to each, are none of ours.
    """
    tensors = (state.get("final_proj.weight"), state.get("label_embs_concat"))
    projection, labels = (np.shape(value) if isinstance(value, np.ndarray) else () for value in tensors)
    fits = len(projection) != 2 or len(labels) != 2 or projection[0] == labels[1]
    if not fits or "target_glu.0.weight" in state:
        return {"final_proj": False, "num_classes": 0}
    found: dict[str, Any] = {"final_proj": len(projection) == 2, "num_classes": labels[0] if len(labels) == 2 else 0}
    if len(projection) == 2 or len(labels) == 2:
        found["final_dim"] = projection[0] if len(projection) == 2 else labels[1]
    return found


def leaves(config: ConfigDict, key: str) -> bool:
    """Whether a tensor is of a head that the config does not have."""
    return key.startswith(_HEAD) and not (config.final_proj or config.num_classes)


def json_kinds(settings: Any, depth: int = 0) -> Any:
    """Settings as JSON can hold them; what it cannot, or is large, is left out."""
    if isinstance(settings, dict):
        kept = {key: json_kinds(value, depth + 1) for key, value in settings.items() if isinstance(key, str)}
        return {key: value for key, value in kept.items() if value is not None} if depth < 4 else None
    if isinstance(settings, list | tuple):
        kept_list = [json_kinds(value, depth + 1) for value in settings[:256]]
        return None if depth >= 4 or None in kept_list or len(settings) > 256 else kept_list
    if isinstance(settings, str):
        return settings if len(settings) <= _MAX_TEXT else None
    is_number = isinstance(settings, bool | int) or (isinstance(settings, float) and math.isfinite(settings))
    return settings if is_number else None


def checkpoint(model: Mapping[str, Any], task: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What `torch.save` has to write for fairseq to read a pre-trained model.

    Args:
        model: settings, `_name` among them.
        task: likewise.
        state: tensors.
    """
    return {
        "args": None,
        "cfg": {"task": dict(task), "model": dict(model)},
        "model": dict(state),
        "criterion": None,
        "optimizer_history": [
            {"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 0},
        ],
        "task_state": {},
        "extra_state": {"epoch": 1, "train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
    }


def transformer_originals(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `transformer_settings` and `head_settings` read, under fairseq's names."""
    return {
        "encoder_layers": config["layers"],
        "encoder_embed_dim": config["width"],
        "encoder_ffn_embed_dim": config["hidden"],
        "encoder_attention_heads": config["heads"],
        "conv_pos": config["conv_pos"],
        "conv_pos_groups": config["conv_pos_groups"],
        "layer_norm_first": config["norm_first"],
        "activation_fn": "gelu",
        "dropout": config["dropout"],
        "attention_dropout": config["attention_dropout"],
        "activation_dropout": config["activation_dropout"],
        "encoder_layerdrop": config["layerdrop"],
        "dropout_input": config["dropout_input"],
        "final_dim": config["final_dim"],
    }
