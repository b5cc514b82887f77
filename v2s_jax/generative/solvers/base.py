"""What a solver is: one step of a path from time t to time s, from calls of the network."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.predictions import Estimate

Scalar = Float[Array, ""]
Evaluate = Callable[[jax.Array, jax.Array], Estimate]  # of (x_t [B, *D], t []): one call of the network
Noise = Callable[[int], jax.Array]  # of the number of a draw within the step: standard normal [B, *D]


@dataclasses.dataclass(frozen=True)
class Solver(abc.ABC):
    """A static recipe; what it carries from step to step is a value that the loop keeps.

    A step to where the path has no noise left must end at the estimate of the data.
    """

    @property
    def evaluations(self) -> int:
        """Calls of the network in a step."""
        return 1

    @property
    def last_evaluations(self) -> int:
        """Calls of the network in a step to where there is no noise."""
        return self.evaluations

    @property
    def draws(self) -> int:
        """Draws of noise in a step."""
        return 0

    def init(self, x: Float[Array, "B *D"]) -> Any:
        """What is carried into the first step, a pytree of arrays."""
        return ()

    @abc.abstractmethod
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
        """What x is at time s and what is carried on.

        Args:
            path: between noise and data.
            evaluate: the estimate at a point, by one call of the network.
            x: at time t.
            memory: from `init` or the last step.
            t: where x is.
            s: where to go, nearer to the data.
            noise: of this step.
        """
