"""Systems whose output tells of what they were given, and synthesizers of them."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.systems.sampler import clip_noise

WINDOW, OVERLAP = 40, 20


class Echo(nnx.Module):
    """A system whose output tells of its input: each frame's mean, and that of the frames up to `reach` around."""

    def __init__(self, output="mel", fields=("mouth",), reach=6):
        self.kind, self.fields, self.reach = output, frozenset(fields), reach

    def loss(self, batch, rngs):
        return jnp.zeros(()), {}

    def stages(self):
        return {}

    def synthesize(self, batch, rngs, sampler=None):
        level = batch.mouth.astype(jnp.float32).mean((2, 3)) / 255
        if "face" in self.fields:
            level = level + batch.face.astype(jnp.float32).mean((1, 2, 3, 4))[:, None]
        if batch.speaker_embedding is not None:
            level = level + batch.speaker_embedding.sum(1)[:, None]
        level = jnp.where(jnp.arange(level.shape[1])[None] < batch.length[:, None], level, 0)
        around = sum(jnp.pad(level, ((0, 0), (k, 0)))[:, : level.shape[1]] for k in range(self.reach + 1))
        if self.kind == "waveform":
            return jnp.repeat(around, 640, axis=1) / 10
        return jnp.repeat(around, 4, axis=1)[..., None] * jnp.ones(80)[None, None]


class Tunable(Echo):
    """Is as loud as it is told, and looks at sound and speaker in training alone."""

    def __init__(self, **settings):
        super().__init__(fields=("mouth", "audio", "speaker_embedding"), **settings)
        self.inputs, self.knobs = frozenset({"mouth"}), {"gain": 0.5}
        self.limits = {"gain": (0.0, 2.0)}

    def synthesize(self, batch, rngs, sampler=None):
        assert batch.speaker_embedding is None and batch.audio is None
        return super().synthesize(batch, rngs) * sampler["gain"]


class Hiss(Echo):
    """Noise, as systems sample from it."""

    knobs = {"evaluations": 1.0}

    def synthesize(self, batch, rngs, sampler=None):
        return clip_noise(batch, rngs)(0).reshape(len(batch.length), -1, 80)


def echo(batch_size=1, contrast=1.0, kind=Echo, sampler=None, **settings):
    section = {"window": WINDOW, "overlap": OVERLAP, "contrast": contrast}
    config = ConfigDict({"system": {"name": "echo"}, "synthesis": section})
    synth = Synthesizer(config, kind(**settings), batch_size=batch_size, sampler=sampler)
    synth.vocoder = lambda log_mel: np.repeat(log_mel[:, 0], 160)
    return synth


def expected(clip, reach=6):
    level = clip.mouth[:, 4:92, 4:92].mean((1, 2)) / 255
    return np.convolve(level, np.ones(reach + 1))[: len(level)]
