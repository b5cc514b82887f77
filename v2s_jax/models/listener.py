"""What a speech encoder hears in a waveform, frame by frame: the space of a perceptual loss."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from v2s_jax.features.speaker_mel import speaker_mel_jax
from v2s_jax.models import hubert, speaker
from v2s_jax.models.registry import build

ENCODERS = ("speaker", "hubert")


def default_config(size: str = "small") -> ConfigDict:
    """`encoder` is the section of an imported HuBERT or speaker encoder (the shipped `voices-ge2e` is the "small" one).

    `layer` is the HuBERT layer that is compared; speaker encoders are read after their last LSTM.
    """
    return ConfigDict(dict(encoder=speaker.default_config(size), layer=6))


class Listener(nnx.Module):
    """A frozen encoder of speech.

    Args:
        config: see `default_config`.
        rngs: for weights that are to be replaced.
        dtype: of the computation.

    Raises:
        ValueError: it is no encoder of speech.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        if config.encoder.name not in ENCODERS:
            raise ValueError(f"listener.encoder.name is {config.encoder.name!r}: expected one of {', '.join(ENCODERS)}")
        self.layer, self.normalise = config.layer, config.encoder.get("normalise", False)
        self.encoder = build(config.encoder, rngs, dtype)

    def __call__(self, wave: Float[Array, "B samples"]) -> Float[Array, "B T D"]:
        """Features, float32, of mono waveforms in [-1, 1] at 16 kHz."""
        if isinstance(self.encoder, speaker.SpeakerEncoder):
            return self.encoder.states(speaker_mel_jax(wave)).astype(jnp.float32)
        wave = hubert.normalise_waveform(wave) if self.normalise else wave
        return self.encoder(wave, layer=self.layer).astype(jnp.float32)
