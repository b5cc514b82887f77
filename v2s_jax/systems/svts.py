"""SVTS (Schoburg Carrillo de Mira et al. 2022, arXiv 2205.02058): the regression baseline.

Mouth frames go through a 3D-stem ResNet-18 and a conformer; a linear layer gives four mel frames for each video frame.
The loss is L1 plus spectral convergence and, if it has a weight, that of spelling the text from the same features
(`models/spelling.py`) and that of unlike envelopes (`features/envelope.py`), neither of them part of SVTS. The paper's
widths are from memory of it (27.3, 43.1 and 87.6 M parameters are what these sizes give); `tiny`, the loss weights and
the choice of ReLU are ours.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import CROP_SIZE, MEL_PER_FRAME, N_MELS, SPEAKER_DIM
from v2s_jax.data.batch import Batch
from v2s_jax.features.envelope import envelope_correlation
from v2s_jax.features.filters import scale_mel, unscale_mel
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.models.conformer import Conformer
from v2s_jax.models.resnet import ResNetFrontend
from v2s_jax.models.spelling import Spelling
from v2s_jax.models.tempo import VaryTempo
from v2s_jax.systems.base import Metrics, Rules, check_crop, frame_mask, normalise_mouth, spoken_mel

SIZES = {
    "tiny": dict(resnet=(8, 16, 32, 64), blocks=2, width=128, heads=4, hidden=512),
    "S": dict(resnet=(64, 128, 256, 512), blocks=6, width=256, heads=4, hidden=2048),
    "M": dict(resnet=(64, 128, 256, 512), blocks=12, width=256, heads=4, hidden=2048),
    "L": dict(resnet=(64, 128, 256, 512), blocks=12, width=512, heads=8, hidden=2048),
}


def default_config(size: str = "S") -> ConfigDict:
    """The `system` section: every number of the named size, each to be overridden on its own."""
    return ConfigDict(
        dict(
            name="svts",
            crop=CROP_SIZE,  # pixels around the centre that the front end sees; fewer cost less
            activation="relu",
            kernel_size=31,
            dropout=0.1,
            speaker_embedding=False,
            l1_weight=1.0,
            convergence_weight=1.0,
            ctc_weight=0.0,
            envelope_weight=0.0,
            tempo=(1.0, 1.0),  # least and most speed at which clips are played in training
            **SIZES[size],
        )
    )


def spectral_convergence(
    target: Float[Array, "B T F"], predicted: Float[Array, "B T F"], mask: Bool[Array, "B T 1"]
) -> Float[Array, ""]:
    """||S - S_hat||_F / ||S||_F over valid frames, averaged over clips (Arik et al. 2018, arXiv 1808.06719)."""
    error = jnp.sqrt(jnp.sum(jnp.where(mask, target - predicted, 0) ** 2, (1, 2)) + 1e-8)
    size = jnp.sqrt(jnp.sum(jnp.where(mask, target, 0) ** 2, (1, 2)) + 1e-8)
    present = mask.any((1, 2))
    return jnp.sum(jnp.where(present, error / size, 0)) / jnp.maximum(present.sum(), 1)


class SVTS(nnx.Module):
    """Video (and, if the config says so, a speaker embedding) to log-mel."""

    kind = "mel"

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.l1_weight, self.convergence_weight = config.l1_weight, config.convergence_weight
        self.ctc_weight, self.envelope_weight = config.ctc_weight, config.envelope_weight
        self.crop = check_crop(config.crop)
        self.uses_speaker = config.speaker_embedding
        self.vary = VaryTempo(tuple(config.tempo))
        optional = {"speaker_embedding": self.uses_speaker, "characters": self.ctc_weight > 0}
        self.fields = frozenset({"mouth", "audio"} | {name for name, used in optional.items() if used})
        self.frontend = ResNetFrontend(tuple(config.resnet), config.activation, dtype, rngs)
        width_in = self.frontend.width + (SPEAKER_DIM if self.uses_speaker else 0)
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
        )
        self.head = nnx.Linear(config.width, MEL_PER_FRAME * N_MELS, dtype=dtype, rngs=rngs)
        if self.ctc_weight:
            self.text_head = Spelling(config.width, dtype, rngs)

    def __call__(self, batch: Batch, rngs: nnx.Rngs | None = None) -> Float[Array, "B M 80"]:
        """Scaled log-mel in float32."""
        return self._mel(self.encode(batch, rngs))

    def encode(self, batch: Batch, rngs: nnx.Rngs | None = None) -> Float[Array, "B T D"]:
        """The features, one vector a video frame, that mel and text are read from."""
        mouth = batch.need("mouth")
        rows, frames = mouth.shape[:2]
        mask = frame_mask(batch.need("length"), frames)
        x = self.frontend(normalise_mouth(mouth, self.crop), mask)
        if self.uses_speaker:
            speaker = jnp.broadcast_to(batch.need("speaker_embedding")[:, None], (rows, frames, SPEAKER_DIM))
            x = jnp.concatenate([x, speaker.astype(x.dtype)], -1)
        return self.conformer(self.project(x), mask, rngs)

    def _mel(self, x: jax.Array) -> jax.Array:
        rows, frames, _ = x.shape
        return self.head(x).astype(jnp.float32).reshape(rows, MEL_PER_FRAME * frames, N_MELS)

    def loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """L1 on the scaled log-mel plus spectral convergence on the same mapped to [0, 1], where silence is 0."""
        recorded = log_mel_jax(batch.need("audio"))
        mouth, recorded, length = self.vary(batch.need("mouth"), recorded, batch.need("length"), rngs)
        batch = dataclasses.replace(batch, mouth=mouth, length=length)
        x = self.encode(batch, rngs)
        predicted = self._mel(x)
        target = jnp.asarray(scale_mel(recorded))
        mask = frame_mask(MEL_PER_FRAME * batch.need("length"), target.shape[1])[..., None]
        l1 = jnp.sum(jnp.where(mask, jnp.abs(target - predicted), 0)) / jnp.maximum(mask.sum() * N_MELS, 1)
        convergence = spectral_convergence((target + 1) / 2, (predicted + 1) / 2, mask)
        loss = self.l1_weight * l1 + self.convergence_weight * convergence
        metrics = {"l1": l1, "spectral_convergence": convergence}
        if self.envelope_weight:
            metrics["envelope"] = 1 - envelope_correlation(recorded, jnp.asarray(unscale_mel(predicted)), mask)
            loss = loss + self.envelope_weight * metrics["envelope"]
        if self.ctc_weight:
            metrics["ctc"] = self.text_head.loss(x, batch.need("length"), batch.need("characters"))
            loss = loss + self.ctc_weight * metrics["ctc"]
        return loss, metrics

    def synthesize(self, batch: Batch, rngs: nnx.Rngs | None = None, sampler: None = None) -> Float[Array, "B M 80"]:
        """Unscaled log-mel, the floor beyond each clip's length; a regressor needs neither `rngs` nor `sampler`."""
        return spoken_mel(self(batch), batch.need("length"))

    def stages(self) -> dict[str, Rules]:
        """One stage, in which everything trains."""
        return {"train": [(".*", "train")]}
