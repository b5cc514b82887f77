"""A tiny DiffV2S: its config, a folder with one, and clips for it."""

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from tests.small_vocoder import filled
from v2s_jax.constants import SPEAKER_DIM
from v2s_jax.data.batch import Batch
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import diffv2s
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.systems.registry import build


def small_config(decoder: str = "mel_transformer", **settings) -> ConfigDict:
    """The `system` section of a few thousand parameters; `settings` overrides it."""
    config = diffv2s.default_config("tiny", decoder)
    config.crop = 16
    config.encoder.update({"resnet": (4, 4), "layers": 2, "width": 16, "hidden": 16, "heads": 2})
    config.encoder.update({"conv_pos": 4, "conv_pos_groups": 2, "dropout": 0.5, "attention_dropout": 0.5})
    config.decoder.update({"layers": 2, "width": 16, "hidden": 16, "heads": 2, "condition": 16 + SPEAKER_DIM})
    if decoder == "mel_transformer":
        config.decoder.update({"conv_pos": 3, "conv_pos_groups": 2})
    config.sampler.update({"evaluations": 2, "most": 8, "guidance_by": "none"})
    config.update(settings)
    return config


def save_small(folder, **sections) -> ConfigDict:
    """Writes one with random weights as a folder; `sections` of its config, a `system` among them or that above."""
    config = ConfigDict({"system": small_config()} | sections)
    _, *states = nnx.split(filled(lambda: build(config.system, Rngs(0))), nnx.Param, ...)
    save_pretrained(folder, config, *map(nnx.to_pure_dict, states), "")
    return config


def clips(rows: int = 4, frames: int = 6) -> Batch:
    """Random mouths and tones, two rows of a speaker side by side: darker ones speak lower."""
    rng = np.random.default_rng(0)
    speaker = np.arange(rows, dtype=np.int32) // 2
    tone = np.sin(np.arange(640 * frames)[None] * 0.1 * (1 + 3 * speaker[:, None]))
    embeddings = rng.normal(size=(rows, SPEAKER_DIM)).astype(np.float32)
    return Batch(
        length=np.full(rows, frames, np.int32),
        mouth=rng.integers(0, 120 * (1 + speaker[:, None, None, None]), (rows, frames, 88, 88)).astype(np.uint8),
        audio=(0.1 * tone + rng.normal(0, 0.01, tone.shape)).astype(np.float32),
        speaker_embedding=embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
        speaker_id=speaker,
    )
