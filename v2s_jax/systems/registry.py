"""Systems by name: a new system is one file here and one line in the table."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.models.registry import construct
from v2s_jax.systems.base import System

SYSTEMS = {
    "svts": "v2s_jax.systems.svts:SVTS",
    "av2a": "v2s_jax.systems.av2a:AV2A",
    "av2a_wavegan": "v2s_jax.systems.av2a_wavegan:AV2AWaveGAN",
    "ge2e": "v2s_jax.systems.ge2e:GE2E",
    "hifigan": "v2s_jax.systems.hifigan:HiFiGAN",
    "spectral": "v2s_jax.systems.spectral:Spectral",
    "diffv2s": "v2s_jax.systems.diffv2s:DiffV2S",
    "faces2voices": "v2s_jax.systems.faces2voices:Faces2Voices",
    "avhubert_pretrain": "v2s_jax.systems.avhubert_pretrain:AVHuBERTPretrain",
}


def build(config: ConfigDict, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> System:
    """Builds the system that `config.name` names, with fresh weights.

    Args:
        config: the `system` section of an experiment.
        rngs: for the initial weights.
        dtype: of the computation.

    Raises:
        V2SError: there is no such system.
    """
    return construct(SYSTEMS, "system", config, rngs, dtype)
