"""Spelling the text from features: connectionist temporal classification (Graves et al. 2006), a help to features.

Kim et al. 2023 (arXiv 2302.08841) showed that it helps video-to-speech.
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from v2s_jax.constants import LETTERS_PER_FRAME
from v2s_jax.features.text import ALPHABET


def spelling_loss(
    logits: Float[Array, "B S K"], steps: Int[Array, "B"], characters: Int[Array, "B L"]
) -> Float[Array, ""]:
    """Negative log probability of the characters (0 is padding, and the blank), a character, averaged over the batch.

    Args:
        logits: of the blank and every character, step by step.
        steps: valid ones of each row.
        characters: codes; rows without any do not count.
    """
    beyond = jnp.arange(logits.shape[1])[None] >= steps[:, None]
    each = optax.ctc_loss(logits, beyond.astype(jnp.float32), characters, (characters == 0).astype(jnp.float32))
    counts = (characters > 0).sum(1)
    return jnp.sum(jnp.where(counts > 0, each, 0)) / jnp.maximum(counts.sum(), 1)


class Spelling(nnx.Linear):
    """The layer that makes letters of features, `LETTERS_PER_FRAME` steps to a vector."""

    def __init__(self, width: int, dtype: DTypeLike, rngs: nnx.Rngs):
        super().__init__(width, LETTERS_PER_FRAME * len(ALPHABET), dtype=dtype, rngs=rngs)

    def loss(self, x: Float[Array, "B T D"], length: Int[Array, "B"], characters: jax.Array) -> Float[Array, ""]:
        """`spelling_loss` of features.

        Args:
            x: features, one vector a video frame.
            length: valid video frames of each row.
            characters: codes, int [B, L], as of `spelling_loss`.
        """
        logits = self(x).astype(jnp.float32).reshape(x.shape[0], -1, len(ALPHABET))
        return spelling_loss(logits, LETTERS_PER_FRAME * length, characters)
