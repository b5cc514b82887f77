"""DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095): exponential integrators in half the log-SNR, lambda.

The ODE (or SDE) is linear but for the estimate of the data, so its linear part is solved exactly, and the estimate is
extrapolated from the last two (2M, "multistep"): second order for one evaluation a step.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.solvers.base import Evaluate, Noise, Scalar, Solver

Memory = tuple[jax.Array, jax.Array]  # the last estimate of the data, and the lambda it was made at


def _extrapolate(path: GaussianPath, data: jax.Array, memory: Memory, t: Scalar, s: Scalar) -> tuple[Scalar, jax.Array]:
    """The step in lambda, and the estimate half-way on the line through the last two.

    The first step has no last estimate, and a last step to where there is no noise is infinite: those are first order.
    """
    last, last_lambda = memory
    now = path.log_snr(t) / 2
    h = path.log_snr(s) / 2 - now
    slope = jnp.where(jnp.isfinite(h), h / (2 * (now - last_lambda)), 0)
    return h, data + slope * (data - last)


@dataclasses.dataclass(frozen=True)
class DPMSolver(Solver):
    """DPM-Solver++(2M), for the ODE."""

    def init(self, x: Float[Array, "B *D"]) -> Memory:
        """An estimate made infinitely long ago, which weighs nothing."""
        return jnp.zeros_like(x), jnp.array(-jnp.inf)

    def step(
        self,
        path: GaussianPath,
        evaluate: Evaluate,
        x: Float[Array, "B *D"],
        memory: Memory,
        t: Scalar,
        s: Scalar,
        noise: Noise,
    ) -> tuple[Float[Array, "B *D"], Any]:
        """Algorithm 2 of the paper."""
        data = evaluate(x, t).data
        h, between = _extrapolate(path, data, memory, t, s)
        x = path.sigma(s) / path.sigma(t) * x - path.alpha(s) * jnp.expm1(-h) * between
        return x, (data, path.log_snr(t) / 2)


@dataclasses.dataclass(frozen=True)
class SDEDPMSolver(DPMSolver):
    """SDE-DPM-Solver++(2M), for the reverse SDE; its first-order step is ancestral sampling."""

    @property
    def draws(self) -> int:
        """One."""
        return 1

    def step(
        self,
        path: GaussianPath,
        evaluate: Evaluate,
        x: Float[Array, "B *D"],
        memory: Memory,
        t: Scalar,
        s: Scalar,
        noise: Noise,
    ) -> tuple[Float[Array, "B *D"], Any]:
        """The 2M step with the SDE's weights, and noise."""
        data = evaluate(x, t).data
        h, between = _extrapolate(path, data, memory, t, s)
        lost = -jnp.expm1(-2 * h)
        x = path.sigma(s) / path.sigma(t) * jnp.exp(-h) * x + path.alpha(s) * lost * between
        return x + path.sigma(s) * jnp.sqrt(lost) * noise(0), (data, path.log_snr(t) / 2)
