"""Noise and gaps in log-mels, on the device: what enhancement and inpainting are learned from."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from v2s_jax.constants import LOG_FLOOR, MEL_PER_FRAME, VIDEO_FPS
from v2s_jax.models.training_only import TrainingOnly

SECOND = MEL_PER_FRAME * VIDEO_FPS  # mel frames
CLEAN = {"snr": 1000.0, "gap": 0.0}  # of clips that are to be heard as they are
_SLOPES = 3.0  # nepers: how much louder noise may be at one end of the mel scale than at the other


class Spoil(TrainingOnly):
    """Spoils every clip in its own way in training, and all alike in evaluation: a clip sounds alike in any batch.

    Args:
        snr: least and most, in decibels.
        gap: likewise, shares of every second.

    Attributes:
        middle: of both ranges, which evaluation takes where it is not told.

    Raises:
        ValueError: they are none.
    """

    def __init__(self, snr: tuple[float, float], gap: tuple[float, float]):
        if not (snr[0] <= snr[1] and 0 <= gap[0] <= gap[1] <= 1):
            raise ValueError(
                f"system.spoil has {snr} and {gap}: expected least and most decibels, and least and most shares"
            )
        super().__init__()
        self.snr, self.gap = snr, gap
        self.middle = {"snr": sum(snr) / 2, "gap": sum(gap) / 2}

    def __call__(
        self,
        mel: Float[Array, "B M 80"],
        mask: Bool[Array, "B M"],
        rngs: nnx.Rngs,
        knobs: Mapping[str, float | jax.Array] | None = None,
    ) -> Float[Array, "B M 80"]:
        """See `spoil`.

        Args:
            mel: not scaled.
            mask: True where there is a frame.
            rngs: a `noise` stream.
            knobs: `snr` and `gap` of all rows, in evaluation.
        """
        rows, key = len(mel), rngs.noise()
        if self.deterministic:
            chosen = self.middle | dict(knobs or {})
            snr, gap = (jnp.full(rows, chosen[name]) for name in ("snr", "gap"))
            return spoil(mel, mask, snr, gap, jnp.broadcast_to(key, (rows,)))
        luck = jax.random.uniform(key, (2, rows))
        snr, gap = (low + (high - low) * u for (low, high), u in zip((self.snr, self.gap), luck, strict=True))
        return spoil(mel, mask, snr, gap, jax.random.split(rngs.noise(), rows))


def spoil(
    mel: Float[Array, "B M 80"],
    mask: Bool[Array, "B M"],
    snr: Float[Array, "B"],
    gap: Float[Array, "B"],
    keys: Key[Array, "B"],
) -> Float[Array, "B M 80"]:
    """Log-mels with noise, and then with silence in a part of every second.

    Noise is what a mel of it is like: magnitudes of every bin and frame on their own (Rayleigh's distribution), tilted
    at random from white, added to the speech's in power. What a clip gets does not depend on how far it is padded.

    Args:
        mel: not scaled.
        mask: True where there is a frame.
        snr: speech over noise of each row, in decibels, by the mean power of all bins.
        gap: share of every second that is lost, of each row.
        keys: typed, of each row.
    """

    def one(mel: jax.Array, mask: jax.Array, snr: jax.Array, gap: jax.Array, key: jax.Array) -> jax.Array:
        noise_key, tilt_key, gap_key = jax.random.split(key, 3)
        power = jnp.exp(2 * mel)
        tilt = jax.random.uniform(tilt_key, minval=-_SLOPES, maxval=_SLOPES) * jnp.linspace(-0.5, 0.5, mel.shape[1])
        noise = jax.random.exponential(noise_key, mel.shape) * jnp.exp(2 * tilt)[None]
        mean = jnp.where(mask[:, None], power, 0).sum() / jnp.maximum(mask.sum(), 1)
        level = mean / jnp.exp(2 * tilt).sum() * 10 ** (-snr / 10)
        noisy = 0.5 * jnp.log(jnp.maximum(power + level * noise, jnp.exp(2 * LOG_FLOOR)))
        return jnp.where(_lost(len(mel), gap, gap_key)[:, None], LOG_FLOOR, noisy)

    return jax.vmap(one)(mel, mask, snr, gap, keys)


def _lost(frames: int, gap: Float[Array, ""], key: Key[Array, ""]) -> Bool[Array, "m"]:
    """One span of every second, somewhere in it."""
    place = jnp.arange(frames)
    luck = jax.random.uniform(key, (-(-frames // SECOND),))[place // SECOND]
    length = jnp.round(gap * SECOND)
    start = jnp.floor(luck * (SECOND - length + 1))
    within = place % SECOND
    return (within >= start) & (within < start + length)
