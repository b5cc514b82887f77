"""Pre-training of AV-HuBERT (Shi et al. 2022, arXiv 2201.02184): naming the clusters of what is hidden, seen and heard.

The clusters are a data set's units, 50 a second, of which every other one is a target: unit 2t begins with video frame
t, and AV-HuBERT takes targets of a higher rate than its own where its frames begin, too. Its first iteration names
clusters of MFCCs, later ones of its own features; clusters of HuBERT's will do as well.
"""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from v2s_jax.constants import CROP_SIZE, UNITS_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.filterbank import stacked_filterbank_jax
from v2s_jax.models import avhubert
from v2s_jax.models.masking import masked_prediction_loss
from v2s_jax.models.spelling import Spelling
from v2s_jax.systems.base import Metrics, Rules, check_crop, frame_mask, normalise_mouth


def default_config(size: str = "base", clusters: int = 100) -> ConfigDict:
    """The `system` section: an encoder of the named size with a head for so many clusters.

    The weights of the loss are those that Base was trained with; for Large `shown_weight` was 1.
    """
    encoder = avhubert.default_config(size)
    encoder.update({"num_classes": clusters, "final_proj": True})
    return ConfigDict(
        dict(
            name="avhubert_pretrain",
            encoder=encoder,
            crop=CROP_SIZE,  # pixels around the centre that it sees; fewer cost less
            hidden_weight=1.0,  # of the loss where a modality is hidden
            shown_weight=0.0,  # and elsewhere
            penalty_weight=10.0,  # of the features' mean square
            ctc_weight=0.0,  # of spelling the text, where there is some: ours, for the little data that has texts
        )
    )


class AVHuBERTPretrain(nnx.Module):
    """An encoder with its head, on video, sound and units."""

    kind = "embedding"
    free = {"encoder": avhubert.TRAINING_SETTINGS}
    anew = "encoder/(final_proj/.*|label_embs|mask_emb)"

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        encoder = config.encoder
        if not (encoder.num_classes and encoder.final_proj) or encoder.masking == "none":
            raise ValueError("system.encoder needs masking, num_classes and final_proj to be trained")
        self.clusters, self.crop = encoder.num_classes, check_crop(config.crop)
        self.hidden_weight, self.shown_weight = config.hidden_weight, config.shown_weight
        self.penalty_weight, self.ctc_weight = config.penalty_weight, config.ctc_weight
        self.fields = frozenset({"mouth", "audio", "units"} | ({"characters"} if self.ctc_weight else set()))
        self.encoder = avhubert.AVHuBERT(encoder, rngs=rngs, dtype=dtype)
        if self.ctc_weight:
            self.text_head = Spelling(encoder.width, dtype, rngs)

    def loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """Cross entropy of the clusters of hidden and shown frames, and the penalty on large features."""
        mouth, length = batch.need("mouth"), batch.need("length")
        mask = frame_mask(length, mouth.shape[1])
        heard = stacked_filterbank_jax(batch.need("audio"), length)
        found = self.encoder.predict(normalise_mouth(mouth, self.crop), heard, ~mask, rngs)
        targets = batch.need("units")[:, ::UNITS_PER_FRAME].astype(jnp.int32)
        entropy, metrics = masked_prediction_loss(
            found.logits, targets, found.hidden, mask, self.hidden_weight, self.shown_weight
        )
        loss = entropy + self.penalty_weight * found.penalty
        metrics |= {"entropy": entropy, "penalty": found.penalty}
        if self.ctc_weight:
            metrics["ctc"] = self.text_head.loss(found.features, length, batch.need("characters"))
            loss = loss + self.ctc_weight * metrics["ctc"]
        return loss, metrics

    def synthesize(self, batch: Batch, rngs: nnx.Rngs | None = None, sampler: None = None) -> Float[Array, "B T D"]:
        """What the encoder makes of video and sound; a system of this kind makes no speech."""
        mouth, length = batch.need("mouth"), batch.need("length")
        heard = stacked_filterbank_jax(batch.need("audio"), length)
        return self.encoder(normalise_mouth(mouth, self.crop), heard, ~frame_mask(length, mouth.shape[1]))

    def stages(self) -> dict[str, Rules]:
        """One stage, in which everything trains."""
        return {"train": [(".*", "train")]}
