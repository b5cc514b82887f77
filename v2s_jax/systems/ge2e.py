"""GE2E (Wan et al. 2018, arXiv 1710.10467): training of a speaker encoder on utterances of several speakers.

The softmax variant of the loss, on partials of 1.6 s. What disguises the partials (another vocal tract for all of a
speaker's, loudness and noise for each) is ours: with few speakers at hand it makes many.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from v2s_jax.constants import SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.speaker_mel import (
    PARTIAL_FRAMES,
    PARTIAL_SAMPLES,
    TARGET_RMS,
    speaker_mel_jax,
    warped_filters,
)
from v2s_jax.models.speaker import SpeakerEncoder, unit
from v2s_jax.models.speaker import default_config as encoder_config
from v2s_jax.models.training_only import TrainingOnly
from v2s_jax.models.windows import cut
from v2s_jax.systems.base import Metrics, Rules

_LEAST_SCALE = 1e-6  # w > 0: more alike must mean more probable


def default_config(size: str = "small") -> ConfigDict:
    """The `system` section; sizes are those of the encoder."""
    return ConfigDict(
        dict(
            name="ge2e",
            encoder=encoder_config(size),
            utterances=4,  # of each speaker in a batch
            warp=0.15,  # largest change of a speaker's vocal tract length, as a share of it
            gain_db=6.0,  # largest change of a partial's loudness
            noise_db=(-60.0, -25.0),  # of white noise, below the speech
        )
    )


def similarity(
    embeddings: Float[Array, "N M D"], scale: Float[Array, ""], bias: Float[Array, ""]
) -> Float[Array, "N M N"]:
    """Scaled cosine of every utterance with every speaker's centroid (eq. 5).

    An utterance has no part in the centroid of its own speaker that it is compared with (eq. 8 and 9).

    Args:
        embeddings: unit vectors of N speakers' M utterances each.
        scale: w, taken as positive.
        bias: b.
    """
    total = embeddings.sum(1, keepdims=True)
    others = jnp.einsum("nmd,kd->nmk", embeddings, unit(total[:, 0]))
    own = jnp.sum(embeddings * unit(total - embeddings), -1, keepdims=True)
    same = jnp.eye(len(embeddings), dtype=bool)[:, None]
    return jnp.maximum(scale, _LEAST_SCALE) * jnp.where(same, own, others) + bias


def softmax_loss(scores: Float[Array, "N M N"], present: Bool[Array, "N"]) -> Float[Array, ""]:
    """Mean cross entropy of each utterance's own speaker (eq. 6).

    Args:
        scores: from `similarity`.
        present: speakers that count; the others are padding.
    """
    scores = jnp.where(present[None, None], scores, -1e9)
    each = jax.nn.logsumexp(scores, -1) - jnp.einsum("nmn->nm", scores)
    return jnp.sum(jnp.where(present[:, None], each, 0)) / jnp.maximum(present.sum() * scores.shape[1], 1)


def equal_error_rate(scores: Float[Array, "N M N"], present: Bool[Array, "N"]) -> Float[Array, ""]:
    """Where as many strangers are accepted as speakers rejected, by one threshold on the scores.

    Args:
        scores: from `similarity`.
        present: speakers that count.
    """
    same = jnp.broadcast_to(jnp.eye(len(scores), dtype=bool)[:, None], scores.shape)
    valid = jnp.broadcast_to(present[:, None, None] & present[None, None], scores.shape)
    order = jnp.argsort(-jnp.where(valid, scores, -jnp.inf).ravel())
    genuine, stranger = ((mask & valid).ravel()[order].astype(jnp.float32) for mask in (same, ~same))
    rejected = 1 - jnp.cumsum(genuine) / jnp.maximum(genuine.sum(), 1)
    accepted = jnp.cumsum(stranger) / jnp.maximum(stranger.sum(), 1)
    best = jnp.argmin(jnp.abs(rejected - accepted))
    return (rejected[best] + accepted[best]) / 2


def middle_partial(audio: Float[Array, "B samples"], length: Int[Array, "B"]) -> Float[Array, "B partial"]:
    """The middle 1.6 s of each utterance, with silence after those that are shorter.

    Args:
        audio: waveforms at 16 kHz.
        length: valid video frames.
    """
    audio = jnp.pad(audio, ((0, 0), (0, max(0, PARTIAL_SAMPLES - audio.shape[1]))))
    start = jnp.maximum(length * SAMPLES_PER_FRAME - PARTIAL_SAMPLES, 0) // 2
    return cut(audio, start, PARTIAL_SAMPLES)


class GE2E(nnx.Module):
    """Speech of several speakers to unit vectors that tell them apart."""

    kind = "embedding"
    fields = frozenset({"audio"})

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        if config.utterances < 2:
            raise ValueError(f"utterances is {config.utterances}: expected 2 or more of each speaker")
        self.utterances = config.utterances
        self.encoder = SpeakerEncoder(config.encoder, rngs=rngs, dtype=dtype)
        self.disguise = Disguise(config.warp, config.gain_db, tuple(config.noise_db))

    def __call__(self, batch: Batch, rngs: nnx.Rngs | None = None) -> Float[Array, "B D"]:
        """The embedding of the middle partial of each row."""
        wave = normalised(middle_partial(batch.need("audio"), batch.need("length")))
        groups = wave.reshape(-1, self.utterances, PARTIAL_SAMPLES)
        mel = self.disguise(groups, rngs)[:, :, :PARTIAL_FRAMES]
        return self.encoder(mel.reshape(-1, *mel.shape[2:]))

    def loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """The GE2E loss; rows are grouped by speaker, and a group without sound is padding."""
        embeddings = self(batch, rngs)
        groups = embeddings.reshape(-1, self.utterances, embeddings.shape[-1])
        present = (batch.need("length").reshape(-1, self.utterances) > 0).all(1)
        scale, bias = self.encoder.similarity.scale[...][0], self.encoder.similarity.bias[...][0]
        scores = similarity(groups, scale, bias)
        return softmax_loss(scores, present), {"eer": equal_error_rate(scores, present), "scale": scale, "bias": bias}

    def synthesize(self, batch: Batch, rngs: nnx.Rngs | None = None, sampler: None = None) -> Float[Array, "B D"]:
        """The embeddings; a system of this kind makes no speech."""
        return self(batch)

    def stages(self) -> dict[str, Rules]:
        """One stage, in which everything trains."""
        return {"train": [(".*", "train")]}


def normalised(wave: Float[Array, "B n"]) -> Float[Array, "B n"]:
    """Waves brought up to -30 dBFS where they are quieter; silence stays silence."""
    power = jnp.mean(wave * wave, -1, keepdims=True)
    gain = TARGET_RMS * jax.lax.rsqrt(jnp.maximum(power, 1e-12))
    return wave * jnp.where(power > 0, jnp.maximum(gain, 1), 1)


class Disguise(TrainingOnly):
    """Waves to mels, in training those of other speakers, louder or softer and in some noise.

    Args:
        warp: largest share by which a speaker's frequencies are raised or lowered.
        gain_db: largest change of a wave's loudness in decibels.
        noise_db: bounds of the level of white noise, relative to the wave.
    """

    def __init__(self, warp: float, gain_db: float, noise_db: tuple[float, float]):
        super().__init__()
        self.warp, self.gain_db, self.noise_db = warp, gain_db, noise_db

    def __call__(self, waves: Float[Array, "N M n"], rngs: nnx.Rngs | None) -> Float[Array, "N M m 40"]:
        """Mel power of N speakers' M waves."""
        if self.deterministic or rngs is None:
            return speaker_mel_jax(waves)
        one = (*waves.shape[:2], 1)
        level = 10 ** (jax.random.uniform(rngs.noise(), one, minval=self.noise_db[0], maxval=self.noise_db[1]) / 20)
        rms = jnp.sqrt(jnp.mean(waves * waves, -1, keepdims=True))
        waves = waves + rms * level * jax.random.normal(rngs.noise(), waves.shape)
        waves = waves * 10 ** (jax.random.uniform(rngs.gain(), one, minval=-self.gain_db, maxval=self.gain_db) / 20)
        bound = jnp.log1p(self.warp)
        factor = jnp.exp(jax.random.uniform(rngs.warp(), waves.shape[:1], minval=-bound, maxval=bound))
        return jax.vmap(speaker_mel_jax)(waves, warped_filters(factor))
