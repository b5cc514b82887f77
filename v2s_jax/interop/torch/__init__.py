"""Exported models as plain PyTorch modules; needs torch and no jax.

model = v2s_jax.interop.torch.load("models/svts_grid")
mel = model(mouth, length)
"""

import importlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from v2s_jax.errors import V2SError
from v2s_jax.interop.table import export_weights
from v2s_jax.models.settings import CONFIG, named_in, read_json, section_of
from v2s_jax.models.weights_file import open_weights


class _Twin(NamedTuple):
    """What a model is here.

    Attributes:
        module: "module:class" in this package.
        table: "module:function" in `tables/`.
        part: of a system that is one part and a loss, the name of the part, which then stands for the system.
    """

    module: str
    table: str
    part: str = ""


_MODULES = {  # by the config's section and the name there
    "system": {
        "svts": _Twin("svts:SVTS", "svts:entries"),
        "av2a": _Twin("av2a:AV2A", "av2a:entries"),
        "av2a_wavegan": _Twin("av2a_wavegan:AV2AWaveGAN", "av2a:entries"),
        "diffv2s": _Twin("diffv2s:DiffV2S", "diffv2s:entries"),
        "faces2voices": _Twin("faces2voices:Faces2Voices", "faces2voices:entries"),
        "hifigan": _Twin("hifigan:HiFiGAN", "hifigan:system_entries"),
        "spectral": _Twin("spectral:SpectralVocoder", "spectral:entries", "generator"),
        "ge2e": _Twin("speaker:SpeakerEncoder", "speaker:entries", "encoder"),
        "avhubert_pretrain": _Twin("avhubert:AVHuBERT", "avhubert:entries", "encoder"),
    },
    "model": {
        "avhubert": _Twin("avhubert:AVHuBERT", "avhubert:entries"),
        "hubert": _Twin("hubert:HuBERT", "hubert:entries"),
        "hifigan": _Twin("hifigan:Generator", "hifigan:entries"),
        "spectral": _Twin("spectral:SpectralVocoder", "spectral:entries"),
        "speaker": _Twin("speaker:SpeakerEncoder", "speaker:entries"),
    },
}


def load(folder: str | os.PathLike) -> torch.nn.Module:
    """The model of a folder that `v2s-jax export` or `v2s-jax import` wrote, in evaluation mode and float32.

    Its class says what `forward` takes; its state dict has the published key names where there are any.

    Raises:
        V2SError: a file is missing or damaged, or config and weights are of different models.
    """
    config_path = Path(folder) / CONFIG
    section, whole = section_of(folder), read_json(config_path)
    config = whole[section] if section else {}
    names = _MODULES.get(section or "", {})
    if not named_in(config, names):
        known = "; ".join(f"a {key} of name {', '.join(names)}" for key, names in _MODULES.items())
        raise V2SError(f"{config_path}: expected the config of {known}")
    twin = names[config["name"]]
    prefix = f"{twin.part}." if twin.part else ""
    with open_weights(Path(folder), whole) as tensors:
        weights = {name.removeprefix(prefix): np.asarray(tensor.read(), np.float32) for name, tensor in tensors.items()}
    try:
        config = config[twin.part] if twin.part else config
        module = _attribute("v2s_jax.interop.torch", twin.module)(config)
        state = export_weights(_attribute("v2s_jax.interop.tables", twin.table)(config), weights)
        module.load_state_dict({name: torch.tensor(value) for name, value in state.items()}, assign=True)
    except (V2SError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise V2SError(f"{folder}: no model that this version exports ({reason}); export it again") from error
    return module.eval()


def _attribute(package: str, name: str):
    module, attribute = name.split(":")
    return getattr(importlib.import_module(f"{package}.{module}"), attribute)
