"""DDIM (Song, Meng and Ermon 2021, arXiv 2010.02502): from deterministic (eta = 0) to ancestral sampling (eta = 1)."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.solvers.base import Evaluate, Noise, Scalar, Solver
from v2s_jax.generative.solvers.ddpm import posterior


@dataclasses.dataclass(frozen=True)
class DDIM(Solver):
    """Keeps the share `eta` of the posterior's standard deviation as fresh noise, the rest in the old direction.

    On a straight path without noise at its end, eta = 0 is Euler's method.
    """

    eta: float = 0.0

    @property
    def draws(self) -> int:
        """None for eta = 0."""
        return 1 if self.eta else 0

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
        """Equation 12 of the paper, between any two times."""
        data, eps = evaluate(x, t)
        if not self.eta:
            return path.alpha(s) * data + path.sigma(s) * eps, memory
        fresh = self.eta**2 * posterior(path, t, s)[2]
        old = jnp.sqrt(jnp.maximum(path.sigma(s) ** 2 - fresh, 0))
        return path.alpha(s) * data + old * eps + jnp.sqrt(fresh) * noise(0), memory
