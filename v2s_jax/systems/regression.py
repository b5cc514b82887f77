"""What the systems that regress mels share: lips to features, a conformer over them, mel and text, and the losses."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, N_MELS, SPEAKER_DIM
from v2s_jax.data.batch import Batch
from v2s_jax.features.envelope import envelope_correlation
from v2s_jax.features.filters import scale_mel, unscale_mel
from v2s_jax.models.conformer import Conformer, Norm
from v2s_jax.models.resnet import ResNetFrontend, masked_batch_norm
from v2s_jax.models.spelling import Spelling
from v2s_jax.models.tempo import VaryTempo
from v2s_jax.systems.base import Metrics, check_crop, frame_mask, normalise_mouth


def spectral_convergence(
    target: Float[Array, "B T F"], predicted: Float[Array, "B T F"], mask: Bool[Array, "B T 1"]
) -> Float[Array, ""]:
    """||S - S_hat||_F / ||S||_F over valid frames, averaged over clips (Arik et al. 2018, arXiv 1808.06719)."""
    error = jnp.sqrt(jnp.sum(jnp.where(mask, target - predicted, 0) ** 2, (1, 2)) + 1e-8)
    size = jnp.sqrt(jnp.sum(jnp.where(mask, target, 0) ** 2, (1, 2)) + 1e-8)
    present = mask.any((1, 2))
    return jnp.sum(jnp.where(present, error / size, 0)) / jnp.maximum(present.sum(), 1)


class LipReader(nnx.Module):
    """Frontend, projection and conformer, under the names that weights are taken over by, and spelling.

    Args:
        config: the `system` section.
        rngs: for the initial weights.
        dtype: of the computation.
        norm: makes the conformer's batch norms.
        sees: whether there is a front end.
    """

    def __init__(
        self,
        config: ConfigDict,
        *,
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
        norm: Norm = masked_batch_norm,
        sees: bool = True,
    ):
        self.ctc_weight = config.ctc_weight
        self.crop = check_crop(config.crop)
        self.uses_speaker = config.speaker_embedding
        self.vary = VaryTempo(tuple(config.tempo))
        optional = {"mouth": sees, "speaker_embedding": self.uses_speaker, "characters": self.ctc_weight > 0}
        self.fields = frozenset({"audio"} | {name for name, used in optional.items() if used})
        if sees:
            self.frontend = ResNetFrontend(tuple(config.resnet), config.activation, dtype, rngs)
        width_in = config.resnet[-1] + (SPEAKER_DIM if self.uses_speaker else 0)
        self.project = nnx.Linear(width_in, config.width, dtype=dtype, rngs=rngs)
        self.conformer = Conformer(
            config.blocks,
            config.width,
            config.heads,
            config.hidden,
            config.kernel_size,
            config.dropout,
            dtype,
            rngs=rngs,
            norm=norm,
        )
        if self.ctc_weight:
            self.text_head = Spelling(config.width, dtype, rngs)

    def watch(self, batch: Batch, mask: Bool[Array, "B T"]) -> Float[Array, "B T F"]:
        """What the front end makes of the mouths; meaningless where `mask` is False."""
        return self.frontend(normalise_mouth(batch.need("mouth"), self.crop), mask)

    def join(self, seen: Float[Array, "B T F"], batch: Batch) -> Float[Array, "B T D"]:
        """Visual features, and the speaker's if the config says so, at the conformer's width."""
        if self.uses_speaker:
            speaker = batch.need("speaker_embedding")[:, None]
            repeated = jnp.broadcast_to(speaker, (*seen.shape[:2], SPEAKER_DIM))
            seen = jnp.concatenate([seen, repeated.astype(seen.dtype)], -1)
        return self.project(seen)

    def spelled(
        self, x: Float[Array, "B T D"], batch: Batch, loss: Float[Array, ""], metrics: Metrics
    ) -> tuple[Float[Array, ""], Metrics]:
        """A loss and its metrics with those of spelling the text from the conformer's features, if it has a weight."""
        if not self.ctc_weight:
            return loss, metrics
        ctc = self.text_head.loss(x, batch.need("length"), batch.need("characters"))
        return loss + self.ctc_weight * ctc, metrics | {"ctc": ctc}


class MelRegressor(LipReader):
    """A lip reader with a mel head, and the losses of one. Arguments are those of `LipReader`."""

    kind = "mel"

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32, **settings: Any):
        super().__init__(config, rngs=rngs, dtype=dtype, **settings)
        self.l1_weight, self.convergence_weight = config.l1_weight, config.convergence_weight
        self.envelope_weight = config.envelope_weight
        self.head = nnx.Linear(config.width, MEL_PER_FRAME * N_MELS, dtype=dtype, rngs=rngs)

    def mel(self, x: Float[Array, "B T D"]) -> Float[Array, "B M 80"]:
        """Scaled log-mel of the conformer's features, in float32."""
        return self.head(x).astype(jnp.float32).reshape(len(x), -1, N_MELS)

    def compare(
        self, x: Float[Array, "B T D"], recorded: Float[Array, "B M 80"], batch: Batch
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss: L1 on the scaled log-mel, spectral convergence on the same mapped to [0, 1], where silence is 0.

        And, where they have a weight, unlikeness of envelopes and the loss of spelling the text.

        Args:
            x: the conformer's features.
            recorded: true log-mel, not scaled.
            batch: with `length`, and `characters` if text is spelled.
        """
        length, predicted, target = batch.need("length"), self.mel(x), jnp.asarray(scale_mel(recorded))
        mask = frame_mask(MEL_PER_FRAME * length, target.shape[1])[..., None]
        l1 = jnp.sum(jnp.where(mask, jnp.abs(target - predicted), 0)) / jnp.maximum(mask.sum() * N_MELS, 1)
        convergence = spectral_convergence((target + 1) / 2, (predicted + 1) / 2, mask)
        loss = self.l1_weight * l1 + self.convergence_weight * convergence
        metrics = {"l1": l1, "spectral_convergence": convergence}
        if self.envelope_weight:
            metrics["envelope"] = 1 - envelope_correlation(recorded, jnp.asarray(unscale_mel(predicted)), mask)
            loss = loss + self.envelope_weight * metrics["envelope"]
        return self.spelled(x, batch, loss, metrics)
