"""From what lips say, 25 vectors a second, to content at 50 Hz and to discrete speech units."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import UNITS_PER_FRAME
from v2s_jax.models.conformer import Conformer


class Content(NamedTuple):
    """What is said.

    Attributes:
        features: of the conformer.
        logits: of the units, float32.
    """

    features: Float[Array, "B S D"]
    logits: Float[Array, "B S K"]


class ContentEncoder(nnx.Module):
    """A conformer that reads visual features at the units' rate.

    Args:
        features: width of what it reads.
        clusters: kinds of units.
        config: blocks, width, heads, hidden, kernel_size, dropout and remat of the conformer.
        dtype: of the computation.
        rngs: for the initial weights.
    """

    def __init__(self, features: int, clusters: int, config: ConfigDict, dtype: DTypeLike, rngs: nnx.Rngs):
        width = config.width
        # Each of a video frame's two steps has its own projection: repeated, they would begin the same.
        self.project = nnx.Linear(features, UNITS_PER_FRAME * width, dtype=dtype, rngs=rngs)
        self.conformer = Conformer(
            config.blocks,
            width,
            config.heads,
            config.hidden,
            config.kernel_size,
            config.dropout,
            dtype,
            rngs=rngs,
            remat=config.remat,
        )
        self.head = nnx.Linear(width, clusters, dtype=dtype, rngs=rngs)
        self.table = nnx.Param(nnx.initializers.normal(width**-0.5)(rngs.params(), (clusters, width)))

    def __call__(self, x: Float[Array, "B T F"], mask: Bool[Array, "B S"], rngs: nnx.Rngs | None = None) -> Content:
        """Content, two steps to a frame.

        Args:
            x: visual features.
            mask: True at valid steps.
            rngs: a `dropout` stream when training, None otherwise.
        """
        rows, frames, _ = x.shape
        steps = self.project(x).reshape(rows, UNITS_PER_FRAME * frames, -1)
        found = self.conformer(steps, mask, rngs)
        return Content(found, self.head(found).astype(jnp.float32))

    def embed(self, shares: Float[Array, "B S K"]) -> Float[Array, "B S D"]:
        """The mean of the units' vectors under a distribution, one-hot where the unit is known."""
        return jnp.einsum("bsk,kd->bsd", shares.astype(jnp.float32), self.table[...])


def smoothed_entropy(
    logits: Float[Array, "B S K"], units: jax.Array, mask: Bool[Array, "B S"], smoothing: float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Cross entropy with label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7), and the share named right.

    Args:
        logits: of the units.
        units: ids, int [B, S].
        mask: True at valid steps.
        smoothing: share of the target that is spread evenly over all units.
    """
    log_p = jax.nn.log_softmax(logits, -1)
    named = jnp.take_along_axis(log_p, units[..., None].astype(jnp.int32), -1)[..., 0]
    each = -(1 - smoothing) * named - smoothing * log_p.mean(-1)
    count = jnp.maximum(mask.sum(), 1)
    right = (jnp.argmax(logits, -1) == units) & mask
    return jnp.sum(jnp.where(mask, each, 0)) / count, right.sum() / count
