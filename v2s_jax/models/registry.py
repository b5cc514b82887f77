"""Parts by name: a new part is one file here and one line in the table."""

import importlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError

MODELS = {
    "avhubert": "v2s_jax.models.avhubert:AVHuBERT",
    "hubert": "v2s_jax.models.hubert:HuBERT",
    "hifigan": "v2s_jax.models.hifigan:Generator",
    "spectral": "v2s_jax.models.spectral:SpectralVocoder",
    "speaker": "v2s_jax.models.speaker:SpeakerEncoder",
}
DENOISERS = {  # parts of systems alone: nobody publishes them by themselves
    "mel_transformer": "v2s_jax.models.mel_transformer:MelTransformer",
    "dit": "v2s_jax.models.dit:DiT",
    "unet1d": "v2s_jax.models.unet1d:UNet1d",
}


def build(config: ConfigDict, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> nnx.Module:
    """Builds the part that `config.name` names, with fresh weights.

    Args:
        config: as the part's `default_config` gives.
        rngs: for the initial weights.
        dtype: of the computation.

    Raises:
        V2SError: there is no such part.
    """
    return construct(MODELS, "model", config, rngs, dtype)


def build_denoiser(config: ConfigDict, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> nnx.Module:
    """Builds the denoiser, `(x_t, time, condition, mask, rngs) -> prediction`, that `config.name` names.

    Args:
        config: as the denoiser's `default_config` gives.
        rngs: for the initial weights.
        dtype: of the computation.

    Raises:
        V2SError: there is no such denoiser, or the section is that of another.
    """
    if config.name in DENOISERS:
        usual = importlib.import_module(DENOISERS[config.name].split(":")[0]).default_config()
        lacking, strange = sorted(set(usual) - set(config)), sorted(set(config) - set(usual))
        if lacking and strange:
            raise V2SError(
                f"decoder.name is {config.name!r}, but the section has {strange[0]} and no {lacking[0]}, as another "
                "denoiser's: take a variant of the config such as configs/faces2voices_grid.py:unet1d"
            )
    return construct(DENOISERS, "decoder", config, rngs, dtype)


def construct(classes: Mapping[str, str], section: str, config: ConfigDict, rngs: nnx.Rngs, dtype: DTypeLike) -> Any:
    """An object of the class that `config.name` names.

    Args:
        classes: "module:class" by name.
        section: what an error calls the config.
        config: the class's first argument.
        rngs: the class's `rngs`.
        dtype: the class's `dtype`.

    Raises:
        V2SError: there is no such name.
    """
    if config.name not in classes:
        raise V2SError(f"{section}.name is {config.name!r}: expected one of {', '.join(classes)}")
    module, name = classes[config.name].split(":")
    return getattr(importlib.import_module(module), name)(config, rngs=rngs, dtype=dtype)
