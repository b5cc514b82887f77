"""HiFi-GAN (Kong et al. 2020, arXiv 2010.05646) as a system: the vocoder trained on the sound of a data set.

The generator's loss is mel L1, feature matching and least squares against the critics, weighted 45, 2 and 1 as in the
paper. A loss on spectra of three resolutions (Yamamoto et al. 2020, arXiv 1910.11480), random loudness and speed and
a first stage without critics are ours: what a short training on little hardware needs.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from v2s_jax.constants import HOP_LENGTH, MEL_PER_FRAME, N_MELS, SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.features.spectrum import magnitudes
from v2s_jax.models import critics, hifigan
from v2s_jax.models.vary_voice import VaryVoice
from v2s_jax.systems.base import Metrics, Rules, frame_mask

_MAIN = "main"  # the player of the stage without critics
_RESOLUTIONS = (256, 512, 1024)  # samples: 16, 32 and 64 ms


def default_config(size: str = "16k") -> ConfigDict:
    """The `system` section: "16k" is the paper's V1 at 16 kHz, "small" trains and runs on a CPU."""
    return ConfigDict(
        dict(
            name="hifigan",
            generator=hifigan.default_config(size),
            critics=critics.default_config("small" if size == "small" else "full"),
            mel_weight=45.0,
            feature_weight=2.0,
            spectrum_weight=0.0,
            gain_db=(0.0, 0.0),  # loudness is changed at random within these bounds, in decibels
            speed=(1.0, 1.0),  # and speed, with pitch, within these; above 1 less of a crop is used
        )
    )


class HiFiGAN(nnx.Module):
    """Speech to log-mel and back."""

    kind = "waveform"
    fields = frozenset({"audio"})

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.mel_weight, self.feature_weight = config.mel_weight, config.feature_weight
        self.spectrum_weight = config.spectrum_weight
        if (math.prod(config.generator.upsample_rates), config.generator.num_mels) != (HOP_LENGTH, N_MELS):
            raise ValueError(f"upsample_rates must multiply to {HOP_LENGTH} and num_mels be {N_MELS}")
        self.generator = hifigan.Generator(config.generator, rngs=rngs, dtype=dtype)
        self.critics = critics.Critics(config.critics, rngs=rngs, dtype=dtype)
        self.vary = VaryVoice(tuple(config.gain_db), tuple(config.speed))

    def __call__(self, audio: Float[Array, "B samples"], length: Int[Array, "B"]) -> Float[Array, "B samples"]:
        """The waveform from the log-mel of `audio`, silent beyond each clip's length in video frames."""
        return self.generator(log_mel_jax(audio), MEL_PER_FRAME * length)

    def loss(self, batch: Batch, rngs: nnx.Rngs, player: str = _MAIN) -> tuple[Float[Array, ""], Metrics]:
        """The loss of one player: "critic", "generator", or "main", the generator alone without critics."""
        real, length = self.vary(batch.need("audio"), batch.need("length"), rngs)
        fake = self(real, length)
        if player == "critic":
            return self._critic_loss(real, jax.lax.stop_gradient(fake))
        loss, metrics = self._reconstruction(real, fake, length)
        if player == _MAIN:
            return loss, metrics
        features, adversarial = self._fooling(real, fake)
        loss = loss + self.feature_weight * features + adversarial
        return loss, metrics | {"features": features, "adversarial": adversarial}

    def _reconstruction(self, real: jax.Array, fake: jax.Array, length: jax.Array) -> tuple[jax.Array, Metrics]:
        """Mel L1 and, if it has a weight, the loss on spectra; both over valid frames."""
        mask = functools.partial(_mask, length)
        mel = _mean(jnp.abs(log_mel_jax(fake) - log_mel_jax(real)), mask)
        loss, metrics = self.mel_weight * mel, {"mel": mel}
        if self.spectrum_weight:
            metrics["spectrum"] = spectrum_loss(real, fake, mask)
            loss = loss + self.spectrum_weight * metrics["spectrum"]
        return loss, metrics

    def _critic_loss(self, real: jax.Array, fake: jax.Array) -> tuple[jax.Array, Metrics]:
        """Least squares: 1 for real, 0 for made; both in one pass."""
        verdicts = [
            jnp.split(verdict.astype(jnp.float32), 2) for verdict, _ in self.critics(jnp.concatenate([real, fake]))
        ]
        of_real = jnp.stack([jnp.mean((1 - verdict) ** 2) for verdict, _ in verdicts])
        of_fake = jnp.stack([jnp.mean(verdict**2) for _, verdict in verdicts])
        return of_real.sum() + of_fake.sum(), {"real": of_real.mean(), "fake": of_fake.mean()}

    def _fooling(self, real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
        """L1 between the critics' feature maps, and least squares to a verdict of 1."""
        expected, given = self.critics(real), self.critics(fake)
        features = sum(
            jnp.mean(jnp.abs(r - f).astype(jnp.float32))
            for (_, reals), (_, fakes) in zip(expected, given, strict=True)
            for r, f in zip(reals, fakes, strict=True)
        )
        adversarial = sum(jnp.mean((1 - verdict.astype(jnp.float32)) ** 2) for verdict, _ in given)
        return jnp.asarray(features), jnp.asarray(adversarial)

    def synthesize(self, batch: Batch, rngs: nnx.Rngs | None = None, sampler: None = None) -> Float[Array, "B samples"]:
        """Copy-synthesis: the waveform made from the log-mel of the batch's own sound."""
        return self(batch.need("audio"), batch.need("length"))

    def stages(self) -> dict[str, Rules]:
        """Against critics that train, too; or, before that, without them."""
        return {
            "gan": [("critics/.*", "train:critic"), ("generator/.*", "train:generator")],
            "reconstruction": [("critics/.*", "frozen"), ("generator/.*", "train")],
        }


def _mask(length: Array, hop: int, frames: int) -> Bool[Array, "B T 1"]:
    """Frames of `hop` samples that begin within each clip."""
    return frame_mask(-(-SAMPLES_PER_FRAME * length // hop), frames)[..., None]


def _mean(values: Float[Array, "B T F"], mask: Callable, hop: int = HOP_LENGTH) -> Float[Array, ""]:
    valid = mask(hop, values.shape[1])
    return jnp.sum(jnp.where(valid, values, 0)) / jnp.maximum(valid.sum() * values.shape[2], 1)


def spectrum_loss(real: Float[Array, "B T"], fake: Float[Array, "B T"], mask: Callable) -> Float[Array, ""]:
    """Spectral convergence and L1 of log magnitudes, averaged over three resolutions.

    Args:
        real: waveforms.
        fake: waveforms.
        mask: (hop, frames) -> which frames are valid, [B, frames, 1].
    """
    total = jnp.zeros(())
    for size in _RESOLUTIONS:
        hop = size // 4
        ours, theirs = magnitudes(fake, size, hop), magnitudes(real, size, hop)
        valid = mask(hop, ours.shape[1])
        error = jnp.sum(jnp.where(valid, (ours - theirs) ** 2, 0))
        convergence = jnp.sqrt(error + 1e-8) / jnp.sqrt(jnp.sum(jnp.where(valid, theirs**2, 0)) + 1e-8)
        total += convergence + _mean(jnp.abs(jnp.log(ours) - jnp.log(theirs)), mask, hop)
    return total / len(_RESOLUTIONS)
