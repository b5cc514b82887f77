"""fairseq's checkpoints: an encoder's own config and tensors out of a pre-trained or fine-tuned file, and back."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.interop.records import plain
from v2s_jax.interop.table import count, shape_of, unwrapped
from v2s_jax.interop.torch_file import read_checkpoint

_PREFIXES = ("encoder.w2v_model.", "w2v_encoder.w2v_model.")  # of the encoder in seq2seq and in CTC files
_HEAD = ("final_proj.", "label_embs_concat")
# Of decoders, and of what wav2vec 2.0 learns its targets with.
_OUTSIDE = ("decoder.", "quantizer.", "input_quantizer.", "project_q.", "project_inp.", "target_glu.")
_MAX_NAME = 64  # characters of a model's name
_MAX_TEXT = 4096  # characters of a setting that is handed on
_MAX_SETTINGS = 1 << 17  # of all of them as JSON, so that the folder they come into is read again


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
        value = self._given(name)
        if value is None:
            return default
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not type(default):
            raise V2SError(
                f"{self._where}: its config says {name} = {str(value)[:40]!r}, expected a value such as {default!r}"
            )
        return value

    def _given(self, name: str) -> Any:
        """A setting's value, None where the checkpoint does not say."""
        value = self._values.get(name)
        return None if isinstance(value, str) and value.startswith("${") else value  # not resolved when it was saved

    def require(self, *names: str) -> None:
        """Raises where none of several settings is given: then the rest would be guessed, too.

        Raises:
            V2SError: none is.
        """
        if all(self._given(name) is None for name in names):
            raise V2SError(
                f"{self._where}: its config says neither {' nor '.join(names)}, without which the encoder would be "
                "guessed; expected the whole config of its training"
            )

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


def read_encoder(path: str | os.PathLike, what: str, parts: tuple[str, ...]) -> Encoder:
    """The encoder of a fairseq file, pre-trained or fine-tuned with a decoder (seq2seq) or a projection (CTC).

    Args:
        path: of the file.
        what: it should hold, to be named in an error.
        parts: how tensors begin that every such encoder has some of.

    Raises:
        V2SError: the file is no such checkpoint, or does not say what its encoder is.
    """
    path = Path(path)
    tree = read_checkpoint(path)
    described = (tree.get("cfg") or tree.get("args")) if isinstance(tree, dict) else None
    if described is None or not isinstance(tree.get("model"), dict):
        raise V2SError(f"{path}: no fairseq checkpoint; expected a dict with `model` and with `cfg` or `args`")
    model, task = _sections(plain(described, path))
    kind = name_of(model) or "unknown"
    tensors = unwrapped(tree["model"], path)
    prefix = next((prefix for prefix in _PREFIXES if any(key.startswith(prefix) for key in tensors)), "")
    if prefix:
        inner = model.get("w2v_args")
        if not isinstance(inner, dict):
            raise V2SError(f"{path}: its config does not describe the encoder that was fine-tuned (no w2v_args)")
        model, inner_task = _sections(inner)
        task = inner_task | task
    state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not any(key.startswith(parts) for key in state):
        raise V2SError(f"{path}: holds no {what} (no tensor {prefix}{parts[0]}*)")
    return Encoder(kind, model, task, state, [key for key in tensors if not key.startswith(prefix)])


def name_of(model: Mapping[str, Any]) -> str:
    """A model's name in fairseq, by its settings; empty where they do not say."""
    return str(model.get("_name") or model.get("arch") or "")[:_MAX_NAME]


def _sections(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `model` and `task` sections of a config; of an old, flat one, all of it twice."""
    config = config if isinstance(config, dict) else {}
    if not isinstance(config.get("model"), dict):
        return config, config
    task = config.get("task")
    return config["model"], task if isinstance(task, dict) else {}


def transformer_settings(settings: Settings, state: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of our config that `models/transformer.py` reads, off the settings or else off the tensors.

    Tensors that are missing or of other axes are left to `import_weights` to list, beside all others that are wrong.

    Args:
        settings: the encoder's.
        state: the encoder's tensors.

    Raises:
        V2SError: the settings are too few, or of what there is no code for.
    """

    def shape(*keys: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return shape_of(state, (f"encoder.{key}" for key in keys), default)

    settings.require("encoder_attention_heads", "layer_norm_first")
    settings.refuse("activation_fn", "gelu", "only encoders with GELU can be read")
    settings.refuse("layer_type", "transformer", "conformers cannot be read")
    settings.refuse("pos_conv_depth", 1, "only encoders with one positional convolution can be read")
    width = settings("encoder_embed_dim", shape("layer_norm.weight", "layer_norm.bias", default=(768,))[0])
    direction = ("pos_conv.0.weight_v", "pos_conv.0.parametrizations.weight.original1")
    rows, per_group, taps = shape(*direction, default=(16, 1, 128))
    hidden = shape("layers.0.fc1.weight", default=(shape("layers.0.fc1.bias", default=(4 * width,))[0], width))[0]
    return {
        "layers": settings("encoder_layers", count(state, r"encoder\.layers\.(\d{1,4})\.")),
        "width": width,
        "hidden": settings("encoder_ffn_embed_dim", hidden),
        "heads": settings("encoder_attention_heads", max(1, width // 64)),  # 64 wide in every released model
        "conv_pos": settings("conv_pos", taps),
        "conv_pos_groups": settings("conv_pos_groups", rows // max(1, per_group)),
        "norm_first": settings("layer_norm_first", False),
        "dropout": settings("dropout", 0.1),
        "attention_dropout": settings("attention_dropout", 0.1),
        "activation_dropout": settings("activation_dropout", 0.0),
        "layerdrop": settings("encoder_layerdrop", 0.0),
        "dropout_input": settings("dropout_input", 0.0),
    }


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
    """Whether a tensor is outside the encoder, or of a head that the config does not have."""
    return key.startswith(_OUTSIDE) or (key.startswith(_HEAD) and not (config.final_proj or config.num_classes))


def json_kinds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a folder's config can hold them: what it cannot, or is large, is left out.

    Of settings that are large only together, the largest are.
    """
    kept = _json_kinds(dict(settings), 0)
    sizes = {name: len(json.dumps({name: value}, indent=2)) for name, value in kept.items()}
    total = sum(sizes.values())
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if total <= _MAX_SETTINGS:
            break
        total -= sizes[name]
        del kept[name]
    return kept


def _json_kinds(value: Any, depth: int) -> Any:
    """A value in JSON's kinds, None where it has none."""
    if isinstance(value, dict):
        kept = {key: _json_kinds(part, depth + 1) for key, part in value.items() if _can_name(key)}
        return {key: part for key, part in kept.items() if part is not None} if depth < 4 else None
    if isinstance(value, list | tuple):
        kept_list = [_json_kinds(part, depth + 1) for part in value[:256]]
        return None if depth >= 4 or None in kept_list or len(value) > 256 else kept_list
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else None
    is_number = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_number else None


def _can_name(key: Any) -> bool:
    """Whether a key may be one of a `ConfigDict`, which has no dots in its names, and attributes of its own."""
    return isinstance(key, str) and "." not in key and not key.startswith("__")


def checkpoint(
    model: Mapping[str, Any], task: Mapping[str, Any], state: Mapping[str, np.ndarray], classes: int
) -> dict[str, Any]:
    """What `torch.save` has to write for fairseq to read a pre-trained model.

    Args:
        model: settings, `_name` among them.
        task: likewise.
        state: tensors.
        classes: how many label embeddings are among them, 0 for none.
    """
    # Without a dictionary in the file its task would look for dict.km.txt. A model asks only for its length, and is
    # built without label embeddings where it is None, so that names in a list do for the class that fairseq has.
    labels = [str(number) for number in range(classes)] or None
    return {
        "args": None,
        "cfg": {"task": dict(task), "model": dict(model)},
        "model": dict(state),
        "criterion": None,
        "optimizer_history": [
            {"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 0},
        ],
        "task_state": {"dictionaries": [labels]},
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
