"""Pitch and energy, from what is said, by whom and with what face; and how a user changes them.

Contours run at 100 Hz. Pitch is the logarithm of F0 and counts where there is voice; both are scaled so that speech
stays within a few units of 0.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, UNITS_PER_FRAME
from v2s_jax.models.conformer import Conformer
from v2s_jax.models.tempo import between

MEL_PER_STEP = MEL_PER_FRAME // UNITS_PER_FRAME
PITCH_CENTRE, PITCH_SCALE = math.log(150.0), 0.4  # between a man's voice and a woman's; about half an octave
ENERGY_CENTRE, ENERGY_SCALE = -6.0, 3.0  # of log RMS


class Contours(NamedTuple):
    """Prosody, scaled.

    Attributes:
        voicing: log odds that there is voice.
        pitch: scaled log F0.
        energy: scaled log RMS.
    """

    voicing: Float[Array, "B M"]
    pitch: Float[Array, "B M"]
    energy: Float[Array, "B M"]


def measured(pitch: Float[Array, "B M"], energy: Float[Array, "B M"]) -> Contours:
    """The contours of a recording.

    Args:
        pitch: F0 in Hz, 0 where unvoiced.
        energy: log RMS.
    """
    voiced = pitch > 0
    scaled = jnp.where(voiced, (jnp.log(jnp.maximum(pitch, 1.0)) - PITCH_CENTRE) / PITCH_SCALE, 0)
    return Contours(jnp.where(voiced, 10.0, -10.0), scaled, (energy - ENERGY_CENTRE) / ENERGY_SCALE)


def prosody_losses(found: Contours, true: Contours, mask: Bool[Array, "B M"]) -> dict[str, Float[Array, ""]]:
    """Cross entropy of voicing, L1 of pitch where there is voice, L1 of energy, averaged over valid frames."""
    voiced = mask & (true.voicing > 0)

    def mean(values: jax.Array, where: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(where, values, 0)) / jnp.maximum(where.sum(), 1)

    entropy = jax.nn.softplus(jnp.where(true.voicing > 0, -found.voicing, found.voicing))
    return {
        "voicing": mean(entropy, mask),
        "pitch": mean(jnp.abs(found.pitch - true.pitch), voiced),
        "energy": mean(jnp.abs(found.energy - true.energy), mask),
    }


class ProsodyPredictor(nnx.Module):
    """A conformer over the stream so far beside what the face does.

    Args:
        width: of the stream.
        seen: width of what the face does.
        config: blocks, width, heads, hidden, kernel_size, dropout and remat of the conformer.
        dtype: of the computation.
        rngs: for the initial weights.
    """

    def __init__(self, width: int, seen: int, config: ConfigDict, dtype: DTypeLike, rngs: nnx.Rngs):
        inner = config.width
        self.project = nnx.Linear(width + seen, inner, dtype=dtype, rngs=rngs)
        self.conformer = Conformer(
            config.blocks,
            inner,
            config.heads,
            config.hidden,
            config.kernel_size,
            config.dropout,
            dtype,
            rngs=rngs,
            remat=config.remat,
        )
        self.head = nnx.Linear(inner, 3 * MEL_PER_STEP, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B S D"],
        seen: Float[Array, "B T E"],
        mask: Bool[Array, "B S"],
        rngs: nnx.Rngs | None = None,
    ) -> Contours:
        """The contours.

        Args:
            x: the stream, content in a voice.
            seen: what the face does, frame by frame.
            mask: True at valid steps.
            rngs: a `dropout` stream when training, None otherwise.
        """
        both = jnp.concatenate([x, jnp.repeat(seen, UNITS_PER_FRAME, axis=1).astype(x.dtype)], -1)
        found = self.head(self.conformer(self.project(both), mask, rngs)).astype(jnp.float32)
        rows, steps, _ = found.shape
        return Contours(*jnp.moveaxis(found.reshape(rows, steps * MEL_PER_STEP, 3), -1, 0))


class ContourEmbedding(nnx.Module):
    """The contours as something to add to the stream."""

    def __init__(self, width: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.linear = nnx.Linear(3 * MEL_PER_STEP, width, dtype=dtype, rngs=rngs)

    def __call__(self, contours: Contours) -> Float[Array, "B S D"]:
        """One vector a step of 20 ms; pitch counts as far as there is voice."""
        voiced = jax.nn.sigmoid(contours.voicing)
        stacked = jnp.stack([voiced, voiced * contours.pitch, contours.energy], -1)
        return self.linear(stacked.reshape(stacked.shape[0], -1, 3 * MEL_PER_STEP))


CONTROLS = {"pitch_shift": 0.0, "pitch_range": 1.0, "energy_shift": 0.0, "contour_speed": 1.0}
LIMITS = {
    **{"pitch_shift": (-36.0, 36.0), "pitch_range": (0.0, 10.0)},
    **{"energy_shift": (-60.0, 60.0), "contour_speed": (0.1, 10.0)},
}


def control(contours: Contours, mask: Bool[Array, "B M"], settings: dict[str, Float[Array, ""]]) -> Contours:
    """Contours as a user wants them.

    Args:
        contours: as predicted.
        mask: True at valid frames.
        settings: traced, by the names of `CONTROLS`: `pitch_shift` in semitones; `pitch_range`, by which the pitch's
            distance from its mean is multiplied, 0 for a flat voice; `contour_speed`, at which all contours run about
            the middle. Mean and middle are those of a window where a long clip is spoken in several; `energy_shift` is
            for `louder`.
    """
    length = mask.sum(1, keepdims=True)
    middle = (length - 1) / 2
    place = middle + (jnp.arange(mask.shape[1])[None] - middle) * settings["contour_speed"]
    moved = between(jnp.stack(contours, -1), jnp.clip(place, 0, jnp.maximum(length - 1, 0)), length - 1)
    voicing, pitch, energy = jnp.moveaxis(moved, -1, 0)
    weight = jnp.where(mask, jax.nn.sigmoid(voicing), 0)
    mean = (weight * pitch).sum(1, keepdims=True) / jnp.maximum(weight.sum(1, keepdims=True), 1e-6)
    shift = settings["pitch_shift"] * (math.log(2) / 12 / PITCH_SCALE)
    pitch = mean + settings["pitch_range"] * (pitch - mean) + shift
    return Contours(voicing, pitch, energy)


def louder(
    log_mel: Float[Array, "B M 80"], mask: Bool[Array, "B M"], decibels: Float[Array, ""]
) -> Float[Array, "B M 80"]:
    """A mel so much louder where there is a frame.

    It is the mel that is moved and not the contour of energy, which a decoder trained on one microphone hardly heeds.
    """
    return jnp.where(mask[..., None], log_mel + decibels * (math.log(10) / 20), log_mel)
