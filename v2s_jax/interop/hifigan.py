"""HiFi-GAN generators of the original code and its many forks: `g_*` files, with the config.json beside them."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.constants import HOP_LENGTH, N_FFT, N_MELS, SAMPLE_RATE
from v2s_jax.errors import V2SError
from v2s_jax.interop.fairseq import json_kinds
from v2s_jax.interop.load import Info, load, weight_shapes
from v2s_jax.interop.table import export_weights, import_weights, shape_of, text_keys
from v2s_jax.interop.tables.hifigan import entries, split_folded
from v2s_jax.interop.torch_file import read_checkpoint
from v2s_jax.models.hifigan import default_config
from v2s_jax.models.inference import Inference
from v2s_jax.models.settings import read_json

_LICENCE = (
    "HiFi-GAN's code is MIT; weights come under the terms of whoever trained them and of the speech they were trained "
    "on, which the file does not say."
)
_STATES = ("generator", "state_dict", "model_g", "model")  # where files keep the generator's tensors
_ANCHORS = ("conv_pre.", "ups.0.")  # how the first of them begin, whatever the normalisation
_ARCHITECTURE = (
    "resblock",
    "upsample_rates",
    "upsample_kernel_sizes",
    "upsample_initial_channel",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
)
# The original's names of the mel's settings, and this project's values.
_MEL = {
    "sampling_rate": SAMPLE_RATE,
    "hop_size": HOP_LENGTH,
    "n_fft": N_FFT,
    "win_size": N_FFT,
    "num_mels": N_MELS,
    "fmin": 0,
    "fmax": SAMPLE_RATE // 2,
}
# What else the original's scripts look up, with its own values.
_TRAINING = {
    "num_gpus": 0,
    "batch_size": 16,
    "learning_rate": 0.0002,
    "adam_b1": 0.8,
    "adam_b2": 0.99,
    "lr_decay": 0.999,
    "seed": 1234,
    "segment_size": 8960,
    "fmax_for_loss": None,
    "num_workers": 4,
    "dist_config": {"dist_backend": "nccl", "dist_url": "tcp://localhost:54321", "world_size": 1},
}


def load_hifigan(
    path: str | os.PathLike,
    config: str | os.PathLike | Mapping[str, Any] | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[Inference, Info]:
    """A generator, `model(log_mel)` with [B, M, num_mels] giving [B, hop * M], and where it comes from.

    Args:
        path: a generator's file as the original saves it, the folder of one (the newest counts), or a folder that
            `v2s-jax import hifigan` wrote.
        config: the original's config.json, as a path or its content; by default the config.json, or the JSON file of
            the same name, beside the file.
        dtype: of the computation.

    Raises:
        V2SError: a file is missing, damaged or hostile, or config and weights are not of one generator.
    """
    return load(path, read, "hifigan", config, dtype)  # type: ignore[arg-type]


def read(
    path: str | os.PathLike, config: str | os.PathLike | Mapping[str, Any] | None = None
) -> tuple[ConfigDict, dict[str, np.ndarray], Info]:
    """A generator's file in our terms: config, weights by dotted path, and where they come from."""
    path = _generator_file(Path(path))
    original = _original_config(path, config)
    state, others = _generator_state(read_checkpoint(path), path)
    state = split_folded(state)
    ours = _our_config(original, state)
    shapes = weight_shapes(ours, path)  # which checks the config that the table needs
    weights, left = import_weights(entries(ours.to_dict()), state, shapes, path)
    info = {
        "kind": "hifigan",
        "source": path.name,
        "licence": _LICENCE,
        "left": sorted([*left, *others]),
        "audio": {name: original.get(name) for name in _MEL},
        "warnings": _mel_warnings(original, math.prod(ours.upsample_rates)),
        "original_config": original,
    }
    return ours, weights, info


def to_original(config: Mapping[str, Any], weights: Mapping[str, Any], info: Info) -> dict[str, Any]:
    """The files that the original's `inference.py` reads: `generator.pt` and `config.json`.

    Args:
        config: of the part, a plain dict.
        weights: arrays by dotted path.
        info: as `read` gives; what it lacks gets this project's mel settings and the original's training ones.
    """
    settings = _TRAINING | _MEL | {"hop_size": math.prod(config["upsample_rates"])} | info.get("original_config", {})
    settings |= {name: config[name] for name in (*_ARCHITECTURE, "num_mels")}
    return {"generator.pt": {"generator": export_weights(entries(config), weights)}, "config.json": settings}


def _generator_file(path: Path) -> Path:
    """The file itself, or the newest generator of a folder as the original leaves it."""
    found = sorted([*path.glob("g_*"), *path.glob("generator.pt")]) if path.is_dir() else [path]
    if not found:
        raise V2SError(f"{path}: no generator in this folder; expected a file generator.pt or g_NUMBER")
    return found[-1]


def _original_config(path: Path, config: Any) -> dict[str, Any]:
    """The original's settings.

    Raises:
        V2SError: there are none, or not those of a generator.
    """
    where = config
    if config is None:
        candidates = (path.with_name("config.json"), path.with_suffix(".json"))
        where = next((candidate for candidate in candidates if candidate.is_file()), None)
        if where is None:
            raise V2SError(
                f"{path}: there is no config.json beside it; give the generator's config, which says its upsample_rates"
            )
    content = config if isinstance(config, Mapping) else read_json(Path(where))
    said = json_kinds(content) if isinstance(content, Mapping) else {}
    missing = [name for name in _ARCHITECTURE if name not in said]
    if missing:
        shown = "the given config" if isinstance(config, Mapping) else where
        raise V2SError(f"{shown}: no config of a HiFi-GAN generator; it lacks {', '.join(missing)}")
    return said


def _generator_state(tree: Any, path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """A file's tensors of the generator without prefixes, and what is beside them.

    Raises:
        V2SError: there are none.
    """
    others: list[str] = []
    while isinstance(tree, dict) and (
        inner := next((name for name in _STATES if isinstance(tree.get(name), dict)), "")
    ):
        others += [str(name) for name in tree if name != inner]
        tree = tree[inner]
    found = text_keys(tree, path) if isinstance(tree, dict) else {}
    tensors = {key: value for key, value in found.items() if isinstance(value, np.ndarray)}
    # Before the first of their names, at the key's beginning or after a dot: such as "module."
    begins = (f".{key}".partition(f".{anchor}") for anchor in _ANCHORS for key in tensors)
    before = next((before for before, anchor, _ in begins if anchor), None)
    if before is None:
        hint = "; it holds critics: name the generator's file (g_...)" if "mpd" in found else ""
        raise V2SError(f"{path}: holds no HiFi-GAN generator (no tensor {_ANCHORS[0]}bias){hint}")
    prefix = f"{before}."[1:]
    others += [key for key in found if key not in tensors or not key.startswith(prefix)]
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}, others


def _our_config(original: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> ConfigDict:
    """Our settings; the number of mel bins is read off the first kernel, since the original's code fixes it at 80."""
    direction = ["conv_pre.weight_v", "conv_pre.parametrizations.weight.original1"]
    config = default_config().to_dict() | {name: _tuples(original[name]) for name in _ARCHITECTURE}
    config["resblock"] = str(original["resblock"])  # many forks write a number
    config["num_mels"] = shape_of(state, direction, (0, N_MELS, 0))[1]
    return ConfigDict(config)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _mel_warnings(original: Mapping[str, Any], hop: int) -> list[str]:
    """Sentences on mel settings that are not this project's, or contradict the weights."""
    said = {name: original[name] for name in _MEL if original.get(name) is not None}
    warnings = []
    if said.get("hop_size", hop) != hop:
        warnings.append(
            f"The config says hop_size {said['hop_size']} while its upsample_rates give {hop}: its audio settings may "
            "be left over from another model."
        )
    wrong = [
        f"{name} {said[name]} instead of {value}" for name, value in _MEL.items() if said.get(name, value) != value
    ]
    if hop != HOP_LENGTH:
        wrong.append(f"{hop} samples to a mel frame instead of {HOP_LENGTH}")
    if wrong:
        warnings.append(
            f"It was made for another mel than this project's ({', '.join(wrong)}): give it mels of its own kind, or "
            "expect noise."
        )
    return warnings
