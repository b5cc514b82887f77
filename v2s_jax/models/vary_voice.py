"""Louder, softer, faster and slower voices from those there are: an augmentation on the device, for vocoders."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from v2s_jax.constants import SAMPLES_PER_FRAME
from v2s_jax.features.resample import change_speed
from v2s_jax.models.training_only import TrainingOnly

_PEAK = 0.98  # what random loudness stays below


class VaryVoice(TrainingOnly):
    """Changes loudness and speed, and with it pitch, of each row at random, in training: other voices from few.

    Args:
        gain_db: least and most decibels; rows that would reach full scale are raised less.
        speed: least and most; the waves returned are shorter than those given by the factor of the most.
    """

    def __init__(self, gain_db: tuple[float, float], speed: tuple[float, float]):
        super().__init__()
        self.gain_db, self.speed = gain_db, speed

    def __call__(
        self, wave: Float[Array, "B T"], length: Int[Array, "B"], rngs: nnx.Rngs
    ) -> tuple[Float[Array, "B t"], Int[Array, "B"]]:
        """The waves, changed and cut to whole video frames, and how many of these are valid in each."""
        if self.deterministic:
            return wave, length
        rows = wave.shape[0]
        if self.gain_db != (0, 0):
            low, high = self.gain_db
            decibels = jax.random.uniform(rngs.vary(), (rows, 1), minval=low, maxval=high)
            peak = jnp.maximum(jnp.max(jnp.abs(wave), 1, keepdims=True), 1e-5)
            wave = wave * jnp.minimum(10 ** (decibels / 20), jnp.maximum(_PEAK / peak, 1))
        if self.speed != (1, 1):
            low, high = self.speed
            speed = jax.random.uniform(rngs.vary(), (rows,), minval=low, maxval=high)
            frames = max(1, int(wave.shape[1] / high) // SAMPLES_PER_FRAME)
            wave = change_speed(wave, speed, frames * SAMPLES_PER_FRAME)
            length = jnp.minimum((length / speed).astype(jnp.int32), frames)
        return wave, length
