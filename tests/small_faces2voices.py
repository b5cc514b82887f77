"""The config of a tiny Faces2Voices, and clips for it."""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from tests.small_diffv2s import clips as spoken
from v2s_jax.constants import SPEAKER_DIM
from v2s_jax.data.batch import Batch
from v2s_jax.systems import faces2voices

CLUSTERS, FACE = 5, 6


def small_config(decoder: str = "dit", **settings) -> ConfigDict:
    """The `system` section of a few thousand parameters; `settings` overrides it."""
    config = faces2voices.default_config("tiny", decoder, CLUSTERS, FACE)
    config.crop = 16
    config.encoder.update({"resnet": (2, 4), "layers": 1, "width": 16, "hidden": 16, "heads": 2})
    config.encoder.update({"conv_pos": 4, "conv_pos_groups": 2, "dropout": 0.0, "attention_dropout": 0.0})
    config.encoder.update({"dropout_input": 0.0, "layerdrop": 0.0})
    for part in ("content", "prosody"):
        config[part].update({"width": 8, "heads": 2, "hidden": 8, "kernel_size": 3, "dropout": 0.0})
    config.expression = (2, 4)
    config.decoder.condition = 16 + SPEAKER_DIM
    if decoder == "dit":
        config.decoder.update({"layers": 1, "width": 16, "hidden": 16, "heads": 2})
    if decoder == "unet1d":
        config.decoder.update({"widths": (4, 6), "heads": 2, "head_dim": 3, "expansion": 2, "groups": 2, "middle": 1})
    config.sampler.update({"evaluations": 2, "most": 8})
    config.update(settings)
    return config


def clips(rows: int = 2, frames: int = 6) -> Batch:
    """Random faces with tones, units and contours: what training reads."""
    rng = np.random.default_rng(1)
    batch = spoken(rows, frames)
    pitch = np.where(rng.uniform(size=(rows, 4 * frames)) < 0.7, rng.uniform(90, 200, (rows, 4 * frames)), 0)
    faces = rng.normal(size=(rows, FACE)).astype(np.float32)
    return dataclasses.replace(
        batch,
        face_embedding=faces / np.linalg.norm(faces, axis=1, keepdims=True),
        expression=rng.integers(0, 256, (rows, frames, 48, 48)).astype(np.uint8),
        units=rng.integers(0, CLUSTERS, (rows, 2 * frames)).astype(np.int16),
        pitch=pitch.astype(np.float32),
        energy=rng.uniform(-9, -2, (rows, 4 * frames)).astype(np.float32),
    )


def silent(rows: int = 2, frames: int = 6, **changes) -> Batch:
    """What there is of them without sound."""
    batch = clips(rows, frames)
    seen = Batch(batch.length, batch.mouth, face_embedding=batch.face_embedding, expression=batch.expression)
    return dataclasses.replace(seen, **changes)
