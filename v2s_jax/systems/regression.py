"""What the systems that regress mels share: a mel head on a lip reader, and the losses."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, N_MELS
from v2s_jax.data.batch import Batch
from v2s_jax.features.envelope import envelope_correlation
from v2s_jax.features.filters import scale_mel, unscale_mel
from v2s_jax.systems.base import Metrics, frame_mask
from v2s_jax.systems.lip_reader import LipReader


def spectral_convergence(
    target: Float[Array, "B T F"], predicted: Float[Array, "B T F"], mask: Bool[Array, "B T 1"]
) -> Float[Array, ""]:
    """||S - S_hat||_F / ||S||_F over valid frames, averaged over clips (Arik et al. 2018, arXiv 1808.06719)."""
    error = jnp.sqrt(jnp.sum(jnp.where(mask, target - predicted, 0) ** 2, (1, 2)) + 1e-8)
    size = jnp.sqrt(jnp.sum(jnp.where(mask, target, 0) ** 2, (1, 2)) + 1e-8)
    present = mask.any((1, 2))
    return jnp.sum(jnp.where(present, error / size, 0)) / jnp.maximum(present.sum(), 1)


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
        return self.head(x).astype(jnp.float32).reshape(x.shape[0], -1, N_MELS)

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
