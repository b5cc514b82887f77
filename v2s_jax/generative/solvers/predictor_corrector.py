"""Predictor-corrector sampling (Song et al. 2021, arXiv 2011.13456, appendix G), for the score view.

Langevin steps at time t pull x back to its distribution there; then an ancestral step, the predictor, moves on to s.
The corrector comes first, as in the authors' code, so that sampling ends with the jump to clean data.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.solvers.base import Evaluate, Noise, Scalar, Solver
from v2s_jax.generative.solvers.ddpm import posterior


@dataclasses.dataclass(frozen=True)
class PredictorCorrector(Solver):
    """Langevin steps, then ancestral sampling.

    Attributes:
        corrections: Langevin steps for each predicted one.
        ratio: of the pull of the score to the noise ("snr" in the paper, 0.16 there).
    """

    corrections: int = 1
    ratio: float = 0.16

    @property
    def evaluations(self) -> int:
        """One for the predictor, one for each correction."""
        return 1 + self.corrections

    @property
    def draws(self) -> int:
        """As many as evaluations."""
        return 1 + self.corrections

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
        """Corrects at t, predicts at s."""
        # The paper's step has the batch's mean norms of noise and score in it; their ratio is sigma on average (the
        # rule of its annealed Langevin dynamics), and only that leaves rows independent of each other and of padding.
        size = 2 * (self.ratio * path.sigma(t)) ** 2
        for draw in range(self.corrections):
            score = -evaluate(x, t).eps / path.sigma(t)
            x = x + size * score + jnp.sqrt(2 * size) * noise(1 + draw)
        of_x, of_data, variance = posterior(path, t, s)
        return of_x * x + of_data * evaluate(x, t).data + jnp.sqrt(variance) * noise(0), memory
