"""SVTS (Schoburg Carrillo de Mira et al. 2022, arXiv 2205.02058): the regression baseline.

Mouth frames go through a 3D-stem ResNet-18 and a conformer; a linear layer gives four mel frames for each video frame.
The loss is L1 plus spectral convergence and, if it has a weight, that of spelling the text from the same features
(`models/spelling.py`) and that of unlike envelopes (`features/envelope.py`), neither of them part of SVTS. The paper's
widths are from memory of it (27.3, 43.1 and 87.6 M parameters are what these sizes give); `tiny`, the loss weights and
the choice of ReLU are ours.
"""

import dataclasses

from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from v2s_jax.constants import CROP_SIZE
from v2s_jax.data.batch import Batch
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.models.remat import KEEP_ALL
from v2s_jax.systems.base import Metrics, Rules, frame_mask, spoken_mel
from v2s_jax.systems.regression import MelRegressor

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
            remat=KEEP_ALL,  # of the conformer; see models/remat.py
            speaker_embedding=False,
            l1_weight=1.0,
            convergence_weight=1.0,
            ctc_weight=0.0,
            envelope_weight=0.0,
            tempo=(1.0, 1.0),  # least and most speed at which clips are played in training
            **SIZES[size],
        )
    )


class SVTS(MelRegressor):
    """Video (and, if the config says so, a speaker embedding) to log-mel."""

    def __call__(self, batch: Batch, rngs: nnx.Rngs | None = None) -> Float[Array, "B M 80"]:
        """Scaled log-mel in float32."""
        return self.mel(self.encode(batch, rngs))

    def encode(self, batch: Batch, rngs: nnx.Rngs | None = None) -> Float[Array, "B T D"]:
        """The features, one vector a video frame, that mel and text are read from."""
        mask = frame_mask(batch.need("length"), batch.need("mouth").shape[1])
        return self.conformer(self.join(self.watch(batch, mask), batch), mask, rngs)

    def loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """That of `MelRegressor.compare`, of clips at the speeds that the config says."""
        recorded = log_mel_jax(batch.need("audio"))
        mouth, recorded, length = self.vary(batch.need("mouth"), recorded, batch.need("length"), rngs)
        batch = dataclasses.replace(batch, mouth=mouth, length=length)
        return self.compare(self.encode(batch, rngs), recorded, batch)

    def synthesize(self, batch: Batch, rngs: nnx.Rngs | None = None, sampler: None = None) -> Float[Array, "B M 80"]:
        """Unscaled log-mel, the floor beyond each clip's length; a regressor needs neither `rngs` nor `sampler`."""
        return spoken_mel(self(batch), batch.need("length"))

    def stages(self) -> dict[str, Rules]:
        """One stage, in which everything trains."""
        return {"train": [(".*", "train")]}
