"""Slower and faster talking, from the clips there are: an augmentation on the device, for systems that make mels."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, UInt8

from v2s_jax.constants import MEL_PER_FRAME
from v2s_jax.models.training_only import TrainingOnly


class VaryTempo(TrainingOnly):
    """Plays video and mel of each row at a random speed, in training; pitch stays.

    Args:
        bounds: least and most speed. What a slower clip's end does not fit into the frames there are is cut off.
    """

    def __init__(self, bounds: tuple[float, float]):
        if not 0 < bounds[0] <= bounds[1]:
            raise ValueError(f"tempo is {bounds}: expected least and most speed, both above 0")
        super().__init__()
        self.bounds = bounds

    def __call__(
        self,
        mouth: UInt8[Array, "B T H W"],
        mel: Float[Array, "B M F"],
        length: Int[Array, "B"],
        rngs: nnx.Rngs,
    ) -> tuple[UInt8[Array, "B T H W"], Float[Array, "B M F"], Int[Array, "B"]]:
        """Crops, mel and valid video frames of each row at its new speed."""
        if self.deterministic or self.bounds == (1, 1):
            return mouth, mel, length
        rows, frames = mouth.shape[:2]
        speed = jax.random.uniform(rngs.tempo(), (rows, 1), minval=self.bounds[0], maxval=self.bounds[1])
        played = (jnp.arange(frames)[None] + 0.5) * speed - 0.5  # centres of frames
        played = jnp.clip(played, 0, jnp.maximum(length[:, None] - 1, 0))
        nearest = jnp.round(played).astype(jnp.int32)
        mouth = jnp.take_along_axis(mouth, nearest[..., None, None], axis=1)
        mel = between(mel, jnp.arange(mel.shape[1])[None] * speed, MEL_PER_FRAME * length[:, None] - 1)
        longest = jnp.floor(length / speed[:, 0]).astype(jnp.int32)
        return mouth, mel, jnp.minimum(longest, jnp.where(length > 0, frames, 0))


def between(mel: Float[Array, "B M F"], at: Float[Array, "B M"], last: Int[Array, "B _"]) -> Float[Array, "B M F"]:
    """Linear between the two frames around each place."""
    at = jnp.clip(at, 0, jnp.maximum(last, 0))
    before = jnp.floor(at).astype(jnp.int32)
    after = jnp.minimum(before + 1, jnp.maximum(last, 0))
    share = (at - before)[..., None]
    left, right = (jnp.take_along_axis(mel, index[..., None], axis=1) for index in (before, after))
    return left + share * (right - left)
