"""A tiny AV2A in either domain: its config, and clips with drafts for it."""

import numpy as np
from ml_collections import ConfigDict

from v2s_jax.data.batch import Batch
from v2s_jax.systems import av2a, av2a_wavegan, svts

TINY = dict(resnet=(2, 4), blocks=1, width=8, heads=2, hidden=16, kernel_size=3, crop=16)


def small_config(procedure: str = "dropout_true", **settings) -> ConfigDict:
    """The `system` section of a few thousand parameters; `settings` overrides it."""
    config = av2a.default_config("tiny", procedure)
    config.update(TINY | {"audio_encoder": {"width": 6, "blocks": 1}, "v2a": TINY} | settings)
    return config


def small_wave_config(procedure: str = "dropout_true", **settings) -> ConfigDict:
    """Of a waveform, likewise; critics and a listener included."""
    lips = svts.default_config("tiny")
    lips.update(TINY)
    config = av2a_wavegan.grow(lips, procedure, "small")
    generator = {"rates": (5, 4, 32), "channels": (4, 3, 2)}
    config.update({"audio_encoder": {"width": 6, "blocks": 1}, "generator": generator, "window": 3})
    config.v2a.update({"generator": generator})
    config.critics.update({"wave": (2, 3), "power": (2, 3)})
    config.listener.encoder.update({"layers": 1, "hidden": 4, "dim": 4})
    config.update(settings)
    return config


def clips(frames: int = 6, lengths: tuple[int, ...] = (6, 4)) -> Batch:
    """Random mouths, sounds and drafts, zeros beyond the clips."""
    rng = np.random.default_rng(0)
    rows, valid = len(lengths), np.arange(frames)[None] < np.array(lengths)[:, None]
    return Batch(
        length=np.array(lengths, np.int32),
        mouth=rng.integers(0, 255, (rows, frames, 88, 88), dtype=np.uint8) * valid[:, :, None, None],
        audio=(0.1 * rng.normal(size=(rows, 640 * frames)) * np.repeat(valid, 640, 1)).astype(np.float32),
        draft=(rng.uniform(-9, 1, (rows, 4 * frames, 80)) * np.repeat(valid, 4, 1)[..., None]).astype(np.float16),
    )
