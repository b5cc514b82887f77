"""Telling a later stage the truth in training where it will have to live with a guess."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from v2s_jax.models.training_only import TrainingOnly


class TeacherForcing(TrainingOnly):
    """Gives the truth for a share of the rows in training, and the guess, without its gradient, for all others.

    Args:
        rate: that share.

    Raises:
        ValueError: it is no share.
    """

    def __init__(self, rate: float):
        if not 0 <= rate <= 1:
            raise ValueError(f"a rate of teacher forcing is {rate}: expected 0 to 1")
        super().__init__()
        self.rate = rate

    def __call__(
        self, guess: Float[Array, "B *D"], truth: Float[Array, "B *D"], rngs: nnx.Rngs | None
    ) -> Float[Array, "B *D"]:
        """One of the two for each row; `rngs` has a `teach` stream when training."""
        guess = jax.lax.stop_gradient(guess)
        if self.deterministic or rngs is None or not self.rate:
            return guess
        told = jax.random.bernoulli(rngs.teach(), self.rate, (len(guess),) + (1,) * (guess.ndim - 1))
        return jnp.where(told, truth.astype(guess.dtype), guess)
