"""Runge-Kutta steps of fixed length on dx/dt = velocity, the probability-flow ODE of diffusions and flows alike.

The ODE of a variance-preserving diffusion is stiff near t = 0, where d sigma/dt has no bound; there DDIM and
DPM-Solver++ are the better choice, and a step that ends at clean data jumps to the estimate of it.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.predictions import velocity
from v2s_jax.generative.solvers.base import Evaluate, Noise, Scalar, Solver


@dataclasses.dataclass(frozen=True)
class Euler(Solver):
    """First order, one evaluation a step."""

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
        """Along the tangent at t."""
        estimate = evaluate(x, t)
        moved = x + (s - t) * velocity(path, estimate, t)
        return jnp.where(path.sigma(s) > 0, moved, estimate.data), memory


@dataclasses.dataclass(frozen=True)
class Midpoint(Solver):
    """Second order, two evaluations a step: the second one `place` of the way along the tangent at t."""

    place: ClassVar[float] = 0.5

    @property
    def evaluations(self) -> int:
        """Two."""
        return 2

    @property
    def last_evaluations(self) -> int:
        """One: the jump."""
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
        """Along the mean of the two velocities that makes the step second order."""
        estimate = evaluate(x, t)
        first, share = velocity(path, estimate, t), 1 / (2 * self.place)

        def move() -> jax.Array:
            way = t + self.place * (s - t)
            second = velocity(path, evaluate(x + (way - t) * first, way), way)
            return x + (s - t) * ((1 - share) * first + share * second)

        # A condition, not a selection: the jump must not pay for the second evaluation.
        return jax.lax.cond(path.sigma(s) > 0, move, lambda: estimate.data), memory


@dataclasses.dataclass(frozen=True)
class Heun(Midpoint):
    """Second order, two evaluations a step: the second one at its end (Karras et al. 2022, arXiv 2206.00364)."""

    place: ClassVar[float] = 1.0
