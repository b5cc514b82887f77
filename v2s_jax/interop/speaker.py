"""GE2E speaker encoders of Resemblyzer, Real-Time-Voice-Cloning and their forks: `pretrained.pt`, `encoder.pt`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.constants import HOP_LENGTH, SAMPLE_RATE
from v2s_jax.errors import V2SError
from v2s_jax.features.speaker_mel import PARTIAL_FRAMES, SPEAKER_MELS
from v2s_jax.interop.load import Info, load, weight_shapes
from v2s_jax.interop.table import count, export_weights, import_weights, shape_of, unwrapped
from v2s_jax.interop.tables.speaker import entries
from v2s_jax.interop.torch_file import read_checkpoint
from v2s_jax.models.inference import Inference
from v2s_jax.models.speaker import default_config

_LICENCE = (
    "Resemblyzer's code and weights are Apache-2.0 and those of Real-Time-Voice-Cloning MIT; other weights come under "
    "the terms of whoever trained them, which the file does not say."
)
_FIRST, _LOSS = "lstm.weight_ih_l0", ("similarity_weight", "similarity_bias")


def load_speaker_encoder(
    path: str | os.PathLike, config: str | os.PathLike | None = None, dtype: DTypeLike = np.float32
) -> tuple[Inference, Info]:
    """An encoder and where it comes from.

    `model(mel)` takes mel power [B, 160, 40] (`features.speaker_mel`) to unit vectors [B, 256],
    `model.embed_utterance(wave)` a waveform of any length at 16 kHz to one.

    Args:
        path: a file as Resemblyzer or Real-Time-Voice-Cloning saves it, or a folder of this package's.
        config: none is needed.
        dtype: of the computation.

    Raises:
        V2SError: the file is missing, damaged or hostile, or holds no such encoder.
    """
    return load(path, read, "speaker", config, dtype)


def read(
    path: str | os.PathLike, config: str | os.PathLike | None = None
) -> tuple[ConfigDict, dict[str, np.ndarray], Info]:
    """An encoder's file in our terms: config, weights by dotted path, and where they come from."""
    path = Path(path)
    if config is not None:
        raise V2SError(f"{path}: its tensors say all there is to know; leave {config} out")
    tree = read_checkpoint(path)
    state = tree.get("model_state", tree) if isinstance(tree, dict) else {}
    tensors = unwrapped(state, path) if isinstance(state, dict) else {}
    if not any(key.startswith("lstm.") for key in tensors):
        raise V2SError(f"{path}: holds no GE2E speaker encoder (no tensor {_FIRST})")
    ours = _config(tensors)
    loss = {key: np.asarray([start], np.float32) for key, start in zip(_LOSS, (10.0, -5.0), strict=True)}
    weights, left = import_weights(entries(ours.to_dict()), loss | tensors, weight_shapes(ours, path), path)
    info: Info = {
        "kind": "ge2e",
        "source": path.name,
        "licence": _LICENCE,
        "left": [*left, *(str(key) for key in tree if state is not tree and key not in ("model_state", "step"))],
        "audio": {"sample_rate": SAMPLE_RATE, "hop_size": HOP_LENGTH, "frames": PARTIAL_FRAMES, "mel": "power"},
        "warnings": [],
    }
    if ours.mels != SPEAKER_MELS:
        info["warnings"].append(
            f"It hears {ours.mels} mel bands instead of {SPEAKER_MELS}: give it mels of its own kind; whole utterances "
            "cannot be embedded."
        )
    if isinstance(tree.get("step"), int):
        info["step"] = tree["step"]
    return ours, weights, info


def to_original(config: Mapping[str, Any], weights: Mapping[str, Any], info: Info) -> dict[str, Any]:
    """What Resemblyzer's `VoiceEncoder(weights_fpath=...)` and Real-Time-Voice-Cloning load: `pretrained.pt`.

    Args:
        config: of the part, a plain dict.
        weights: arrays by dotted path.
        info: as `read` gives; its `step` is kept.

    Raises:
        V2SError: their code cannot run such an encoder.
    """
    if config["log"] or config["projection"]:
        feature = "the logarithm of the mel" if config["log"] else "LSTM projections"
        raise V2SError(
            f"an encoder with {feature} cannot be written for Resemblyzer, whose code has none; "
            "v2s_jax.interop.torch loads its exported folder"
        )
    state = export_weights(entries(config), weights)
    return {"pretrained.pt": {"step": info.get("step", 0), "model_state": state}}


def _config(state: Mapping[str, Any]) -> ConfigDict:
    """The architecture, read off the tensors; those that are missing are left to `import_weights` to list."""
    config = default_config("published")
    rows, config.mels = shape_of(state, [_FIRST], (4 * config.hidden, config.mels))
    rows, _ = shape_of(state, [_FIRST, "lstm.weight_hh_l0"], (rows, 0))
    config.layers, config.hidden = count(state, r"lstm\.\w+_l(\d{1,2})"), rows // 4
    config.projection, _ = shape_of(state, ["lstm.weight_hr_l0"], (0, config.hidden))
    (dim,) = shape_of(state, ["linear.bias"], (config.dim,))
    config.dim, _ = shape_of(state, ["linear.weight"], (dim, 0))
    return config
