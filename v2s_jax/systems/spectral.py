"""The spectral vocoder as a system: its network learns magnitudes from mels by regression; nothing else is learned.

Louder and softer, faster and slower voices are made of those there are, as for HiFi-GAN here.
"""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from v2s_jax.constants import HOP_LENGTH, MEL_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.features.mel_inversion import stft
from v2s_jax.models import spectral
from v2s_jax.models.vary_voice import VaryVoice
from v2s_jax.systems.base import Metrics, Rules, frame_mask

_FLOOR = 1e-4  # of magnitudes in the logarithm: what is quieter is a 16-bit file's own noise
_POWER_FLOOR = 1e-12  # keeps the square root's gradient finite
_COMPRESSION = 0.3  # magnitude to loudness, about as the ear does (Stevens's power law)


def default_config() -> ConfigDict:
    """The `system` section."""
    return ConfigDict(
        dict(
            name="spectral",
            generator=spectral.default_config(),
            log_weight=0.3,
            loudness_weight=3.0,
            gain_db=(-15.0, 6.0),  # loudness is changed at random within these bounds, in decibels
            speed=(0.85, 1.2),  # and speed, with pitch, within these; above 1 less of a crop is used
        )
    )


class Spectral(nnx.Module):
    """Speech to log-mel and back."""

    kind = "waveform"
    fields = frozenset({"audio"})

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.log_weight, self.loudness_weight = config.log_weight, config.loudness_weight
        self.generator = spectral.SpectralVocoder(config.generator, rngs=rngs, dtype=dtype)
        self.vary = VaryVoice(tuple(config.gain_db), tuple(config.speed))

    def loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """L1 of log magnitudes and of magnitudes to the power 0.3, over valid frames."""
        wave, length = self.vary(batch.need("audio"), batch.need("length"), rngs)
        valid = frame_mask(MEL_PER_FRAME * length, wave.shape[1] // HOP_LENGTH)
        found = self.generator.log_magnitude(log_mel_jax(wave), MEL_PER_FRAME * length)
        spectrum = stft(wave)
        wanted = jnp.sqrt(jnp.maximum(spectrum.real**2 + spectrum.imag**2, _POWER_FLOOR))

        def mean(error):
            share = valid.sum() * spectral.BINS
            return jnp.sum(jnp.where(valid[..., None], error, 0)) / jnp.maximum(share, 1)

        log = mean(jnp.abs(found - jnp.log(jnp.maximum(wanted, _FLOOR))))
        loudness = mean(jnp.abs(jnp.exp(_COMPRESSION * found) - wanted**_COMPRESSION))
        return self.log_weight * log + self.loudness_weight * loudness, {"log": log, "loudness": loudness}

    def synthesize(self, batch: Batch, rngs: nnx.Rngs | None = None, sampler: None = None) -> Float[Array, "B samples"]:
        """Copy-synthesis: the waveform made from the log-mel of the batch's own sound."""
        return self.generator(log_mel_jax(batch.need("audio")), MEL_PER_FRAME * batch.need("length"))

    def stages(self) -> dict[str, Rules]:
        """One stage."""
        return {"regression": [(".*", "train")]}
