"""A tiny untrained AV-HuBERT in pre-training, its weights made without initialising anything on a device."""

from ml_collections import ConfigDict

from tests.small_vocoder import filled
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import avhubert_pretrain
from v2s_jax.systems.registry import build

CLUSTERS = 5


def small_config(clusters: int = CLUSTERS, **encoder) -> ConfigDict:
    """The `system` section of an encoder of a few thousand parameters; `encoder` overrides its settings."""
    config = avhubert_pretrain.default_config("tiny", clusters)
    config.encoder.update({"resnet": (2, 4), "layers": 1, "width": 16, "hidden": 16, "heads": 2})
    config.encoder.update({"conv_pos": 4, "conv_pos_groups": 2, "final_dim": 8} | encoder)
    return config


def small_system(**settings) -> avhubert_pretrain.AVHuBERTPretrain:
    """The system of `small_config`, the same each time."""
    return filled(lambda: build(small_config(**settings), Rngs(0)))
