"""From whose face it is to what voice they may have."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from v2s_jax.constants import SPEAKER_DIM
from v2s_jax.models.speaker import unit


class Timbre(nnx.Module):
    """Two layers from a face embedding into the speaker encoder's space.

    Args:
        face: length of the face embeddings.
        hidden: width between the layers.
        rngs: for the initial weights.
    """

    def __init__(self, face: int, hidden: int, rngs: nnx.Rngs):
        self.widen = nnx.Linear(face, hidden, rngs=rngs)
        self.narrow = nnx.Linear(hidden, SPEAKER_DIM, rngs=rngs)

    def __call__(self, face: Float[Array, "B E"]) -> Float[Array, "B 256"]:
        """Speaker embeddings of unit norm."""
        return unit(self.narrow(jax.nn.gelu(self.widen(face), approximate=True)))
