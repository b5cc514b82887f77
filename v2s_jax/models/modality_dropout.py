"""Modality dropout: clips that are given in one modality alone, so that a network learns to do with either.

As AV-HuBERT's (Shi et al. 2022, arXiv 2201.02184), of whole clips. Which shares the procedures of arXiv 2307.16584 use
was not found; those of the configs are ours.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from v2s_jax.models.modality_norm import AUDIO, BOTH, VIDEO
from v2s_jax.models.running import Running
from v2s_jax.models.training_only import TrainingOnly


class ModalityDropout(TrainingOnly):
    """Draws the state of every row in training; in evaluation all rows are given in both.

    Args:
        video: share of the rows that are video only.
        audio: share of the rows that are audio only.
        ramp: losses over which the shares grow from 0 to those, one in a step, or one for each part of a batch and each
            player; 0: they are what they are from the first step on.

    Attributes:
        steps: losses computed so far in training, where there is a ramp to climb.

    Raises:
        ValueError: the shares are none.
    """

    def __init__(self, video: float, audio: float, ramp: int = 0):
        if not (video >= 0 and audio >= 0 and video + audio <= 1 and ramp >= 0):
            raise ValueError(
                f"system.modality_dropout has the shares {video} and {audio} and a ramp of {ramp}: expected shares of "
                "rows, at most 1 together, and a number of steps"
            )
        super().__init__()
        self.video, self.audio, self.ramp = video, audio, ramp
        if ramp:
            self.steps = Running(jnp.zeros(()))  # a float, as all statistics are

    def __call__(self, rows: int, rngs: nnx.Rngs | None) -> Int[Array, "B"]:
        """The state of each of so many rows; `rngs` has a `modality` stream when training."""
        if self.deterministic or rngs is None:
            return jnp.full(rows, BOTH, jnp.int32)
        drawn = jax.random.uniform(rngs.modality(), (rows,))
        full = self._climb()
        alone = jnp.where(drawn < full * (self.video + self.audio), AUDIO, BOTH)
        return jnp.where(drawn < full * self.video, VIDEO, alone)

    def _climb(self) -> Float[Array, ""]:
        """The part of the ramp that is behind, before this step."""
        if not self.ramp:
            return jnp.ones(())
        full = jnp.minimum(self.steps[...] / self.ramp, 1)
        self.steps[...] = jnp.minimum(self.steps[...] + 1, float(self.ramp))
        return full
