"""What diffusion and flow matching have in common: a Gaussian path between noise and data.

A path mixes them linearly, x_t = alpha(t) data + sigma(t) eps, where eps is standard normal. Everything else (what a
network predicts, solvers, time grids, guidance) is written against alpha and sigma alone and serves both families. They
disagree about names and about the direction of time, so shared code says `data` and `eps`, and a path tells the rest:

| | `data` | `eps` | noise is at | data is at |
|---|---|---|---|---|
| diffusion (`process.py`) | x_0 | eps | t = 1 | t = 0 |
| flow matching (`flow_matching.py`) | x_1 | x_0 | t = 0 | t = 1 |
"""

import abc
import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class GaussianPath(abc.ABC):
    """x_t [B, *D] = alpha(t) data + sigma(t) eps, with any axes D; hashable, thus closed over or static.

    Attributes:
        noise_time: where the path is noise, or close to it.
        data_time: where it is data, or close to it.
        data_name: what this family calls the data.
        kinds: what a network may predict (`predictions.py`).
    """

    noise_time: ClassVar[float]
    data_time: ClassVar[float]
    data_name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]

    @property
    @abc.abstractmethod
    def clean(self) -> bool:
        """Whether nothing but data is left at `data_time`."""

    @abc.abstractmethod
    def alpha(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """How much data there is."""

    @abc.abstractmethod
    def sigma(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """How much noise there is."""

    @abc.abstractmethod
    def rates(self, t: Float[Array, "*t"]) -> tuple[Float[Array, "*t"], Float[Array, "*t"]]:
        """The derivatives of alpha and sigma by t."""

    @abc.abstractmethod
    def time(self, log_snr: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """The inverse of `log_snr`."""

    def log_snr(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """log(alpha^2 / sigma^2): infinite where there is nothing but data, or nothing but noise."""
        return 2 * (jnp.log(self.alpha(t)) - jnp.log(self.sigma(t)))

    def perturb(
        self, data: Float[Array, "B *D"], eps: Float[Array, "B *D"], t: Float[Array, "*t"]
    ) -> Float[Array, "B *D"]:
        """x_t at one time for all rows ([]) or one for each ([B])."""
        return along(self.alpha(t), data) * data + along(self.sigma(t), eps) * eps


def along(values: Float[Array, "*t"], x: jax.Array) -> jax.Array:
    """A value for all rows ([]), or one for each ([B]), shaped to be multiplied with x [B, ...]."""
    return values.reshape(values.shape + (1,) * (x.ndim - values.ndim)) if values.ndim else values
