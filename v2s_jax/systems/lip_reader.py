"""What systems that read lips by a conformer share: lips to features, the speaker beside them, and spelling."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import SPEAKER_DIM
from v2s_jax.data.batch import Batch
from v2s_jax.models.conformer import Conformer, Norm
from v2s_jax.models.resnet import ResNetFrontend, masked_batch_norm
from v2s_jax.models.spelling import Spelling
from v2s_jax.models.tempo import VaryTempo
from v2s_jax.systems.base import Metrics, check_crop, normalise_mouth


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
            remat=config.remat,
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
