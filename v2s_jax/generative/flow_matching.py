"""Flow matching along straight lines (Lipman et al. 2023, arXiv 2210.02747), with the `flow_matching` library's names.

x_0 is noise and x_1 is data, x_t the point between them and dx_t its velocity; time runs from 0 to 1. **That is the
other way round from `process.py`**, where x_0 is data. Sampling is `sampling.py` with a `CondOT` path and any solver.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from v2s_jax.generative.losses import denoising_loss
from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.predictions import Estimate, velocity


class PathSample(NamedTuple):
    """A point of a path and how it moves there."""

    x_0: Float[Array, "B *D"]
    x_1: Float[Array, "B *D"]
    x_t: Float[Array, "B *D"]
    dx_t: Float[Array, "B *D"]
    t: Float[Array, "B"]


@dataclasses.dataclass(frozen=True)
class CondOT(GaussianPath):
    """The conditional optimal-transport path: x_t = (1 - (1 - sigma_min) t) x_0 + t x_1.

    Attributes:
        sigma_min: noise left at t = 1; 1e-4 in Matcha-TTS, 0 in rectified flow.
    """

    sigma_min: float = 1e-4

    noise_time: ClassVar[float] = 0.0
    data_time: ClassVar[float] = 1.0
    data_name: ClassVar[str] = "x_1"
    kinds: ClassVar[tuple[str, ...]] = ("x_1", "velocity")

    @property
    def clean(self) -> bool:
        """Whether the path ends in the data itself."""
        return self.sigma_min == 0

    def alpha(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """The share of x_1."""
        return t

    def sigma(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """The share of x_0, written so that it ends at `sigma_min` exactly."""
        return (1 - t) + self.sigma_min * t

    def rates(self, t: Float[Array, "*t"]) -> tuple[Float[Array, "*t"], Float[Array, "*t"]]:
        """Constant: the path is straight."""
        return jnp.ones_like(t), jnp.full_like(t, self.sigma_min - 1)

    def time(self, log_snr: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """Where x_1 outweighs x_0 by exp(log_snr / 2)."""
        return 1 / (1 - self.sigma_min + jnp.exp(-0.5 * log_snr))

    def sample(self, x_0: Float[Array, "B *D"], x_1: Float[Array, "B *D"], t: Float[Array, "B"]) -> PathSample:
        """The point at t between noise x_0 and data x_1."""
        return PathSample(x_0, x_1, self.perturb(x_1, x_0, t), velocity(self, Estimate(x_1, x_0), t), t)


def flow_matching_loss(
    model: Callable[[jax.Array, jax.Array], jax.Array],
    path: CondOT,
    x_0: Float[Array, "B *D"],
    x_1: Float[Array, "B *D"],
    t: Float[Array, "B"],
    *,
    prediction: str = "velocity",
    norm: str = "l2",
    mask: Bool[Array, "B ..."] | None = None,
) -> Float[Array, ""]:
    """Conditional flow matching: the mean distance of model(x_t, t) from dx_t, or from x_1, over valid entries.

    Args:
        model: of (x_t [B, *D], t [B]).
        path: the path.
        x_0: noise, perhaps coupled to the data (`coupling.py`).
        x_1: data.
        t: a time for each row (`times.py`).
        prediction: what the model predicts, "velocity" or "x_1".
        norm: "l1" or "l2".
        mask: True at valid entries, of x's rank, axes of length 1 standing for whole ones.
    """
    return denoising_loss(model, path, x_1, x_0, t, kind=prediction, norm=norm, mask=mask)
