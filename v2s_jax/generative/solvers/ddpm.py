"""Ancestral sampling (Ho et al. 2020, arXiv 2006.11239): draw x_s from q(x_s | x_t, x_0) with x_0 as estimated."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.solvers.base import Evaluate, Noise, Scalar, Solver


def posterior(path: GaussianPath, t: Scalar, s: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """q(x_s | x_t, data) as its weights of x_t and of the data, and its variance, between any two times.

    Ho et al.'s equations 6 and 7 are those of neighbouring steps.
    """
    lost = -jnp.expm1(path.log_snr(t) - path.log_snr(s))  # the part of the signal-to-noise ratio that t lacks
    kept = path.alpha(t) / path.alpha(s) * (path.sigma(s) / path.sigma(t)) ** 2
    return kept, path.alpha(s) * lost, path.sigma(s) ** 2 * lost


@dataclasses.dataclass(frozen=True)
class DDPM(Solver):
    """Ancestral sampling in steps of any length.

    Attributes:
        variance: of the noise added, "posterior" (Ho et al.'s beta tilde) or "beta" (that of q(x_t | x_s), more).
    """

    variance: Literal["posterior", "beta"] = "posterior"

    @property
    def draws(self) -> int:
        """One."""
        return 1

    def step(
        self,
        path: GaussianPath,
        evaluate: Evaluate,
        x: Float[Array, "B *D"],
        memory: Any,
        t: Scalar,
        s: Scalar,
        noise: Noise,
    ) -> tuple[Float[Array, "B *D"], Any]:
        """The posterior's mean and noise; none is added to a clean x_s."""
        of_x, of_data, variance = posterior(path, t, s)
        if self.variance == "beta":
            beta = -(path.sigma(t) ** 2) * jnp.expm1(path.log_snr(t) - path.log_snr(s))
            variance = jnp.where(variance > 0, beta, 0)
        return of_x * x + of_data * evaluate(x, t).data + jnp.sqrt(variance) * noise(0), memory
