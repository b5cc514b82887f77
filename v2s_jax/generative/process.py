"""Variance-preserving diffusion: x_t = sqrt(alpha_bar(t)) x_0 + sqrt(1 - alpha_bar(t)) eps, data at t = 0, noise at 1.

A process is its log alpha_bar as a function of continuous time. A process of T discrete steps is the same function read
at the T points t = 1/T ... 1, Ho et al.'s x_1 ... x_T, with x_0 at t = 0. **Here x_0 is data**, which in
`flow_matching.py` it is not.

- `LinearBetas`: the table of DDPM (Ho et al. 2020, arXiv 2006.11239), interpolated between its points.
- `VPSDE`: what that table discretises (Song et al. 2021, arXiv 2011.13456, appendix B): beta_i = beta(i / T) / T.
- `Cosine`: Nichol and Dhariwal 2021, arXiv 2102.09672.
"""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from v2s_jax.generative import constants
from v2s_jax.generative.paths import GaussianPath


@dataclasses.dataclass(frozen=True)
class VPProcess(GaussianPath):
    """A variance-preserving process; subclasses say what log alpha_bar is."""

    noise_time: ClassVar[float] = 1.0
    data_time: ClassVar[float] = 0.0
    data_name: ClassVar[str] = "x_0"
    kinds: ClassVar[tuple[str, ...]] = ("x_0", "eps", "v", "score")

    @property
    def clean(self) -> bool:
        """At t = 0 there is no noise."""
        return True

    @abc.abstractmethod
    def log_alpha_bar(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """Logarithm of the share of x_0 in the variance of x_t: 0 at t = 0, then falling."""

    def alpha_bar(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """Ho et al.'s alpha_bar."""
        return jnp.exp(self.log_alpha_bar(t))

    def alpha(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """sqrt(alpha_bar)."""
        return jnp.exp(0.5 * self.log_alpha_bar(t))

    def sigma(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """sqrt(1 - alpha_bar), exact for small t too."""
        return jnp.sqrt(-jnp.expm1(self.log_alpha_bar(t)))

    def log_snr(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """log(alpha_bar / (1 - alpha_bar))."""
        log_alpha_bar = self.log_alpha_bar(t)
        return log_alpha_bar - jnp.log(-jnp.expm1(log_alpha_bar))

    def beta(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """The rate of the SDE dx = -beta/2 x dt + sqrt(beta) dw (Song et al. 2021, equation 11)."""
        return -jax.jvp(self.log_alpha_bar, (t,), (jnp.ones_like(t),))[1]

    def rates(self, t: Float[Array, "*t"]) -> tuple[Float[Array, "*t"], Float[Array, "*t"]]:
        """Of alpha and of sigma; the second has no finite value at t = 0."""
        beta, alpha = self.beta(t), self.alpha(t)
        return -0.5 * beta * alpha, 0.5 * beta * alpha**2 / self.sigma(t)

    def betas(self, steps: int) -> Float[Array, "N"]:
        """The process as `steps` discrete ones: beta_i = 1 - alpha_bar_i / alpha_bar_(i-1), i = 1 ... steps."""
        return -jnp.expm1(jnp.diff(self.log_alpha_bar(jnp.arange(steps + 1) / steps)))


@dataclasses.dataclass(frozen=True)
class VPSDE(VPProcess):
    """beta(t) rises linearly from `beta_min` to `beta_max`; the defaults are the limit of DDPM's 1000 steps."""

    beta_min: float = constants.VP_LEAST
    beta_max: float = constants.VP_MOST

    def log_alpha_bar(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """Minus the integral of beta."""
        return -t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def time(self, log_snr: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """The root of a quadratic, in the form that does not cancel near t = 0."""
        spent = jax.nn.softplus(-log_snr)
        return 2 * spent / (self.beta_min + jnp.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * spent))


@dataclasses.dataclass(frozen=True)
class LinearBetas(VPProcess):
    """DDPM's table: `steps` betas from `first` to `last`; log alpha_bar is linear between its points."""

    steps: int = constants.DDPM_STEPS
    first: float = constants.DDPM_FIRST
    last: float = constants.DDPM_LAST

    @functools.cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        log_alpha_bar = np.cumsum(np.log1p(-np.linspace(self.first, self.last, self.steps)))
        return np.arange(self.steps + 1) / self.steps, np.concatenate([[0.0], log_alpha_bar])

    def log_alpha_bar(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """The table's value, interpolated."""
        times, log_alpha_bar = self._table
        return jnp.interp(t, times, log_alpha_bar)

    def time(self, log_snr: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """The same interpolation the other way round; 1 below the table's range."""
        times, log_alpha_bar = self._table
        return jnp.interp(jax.nn.softplus(-log_snr), -log_alpha_bar, times)


@dataclasses.dataclass(frozen=True)
class Cosine(VPProcess):
    """alpha is a cosine from (almost) its top to `smallest`^(1/2).

    Nichol and Dhariwal let the angle reach 90 degrees and clip beta at 0.999, so that their 1000 steps end at an
    alpha_bar of 2.4e-9. Here the angle stops where alpha_bar is that, so the function stays smooth and invertible.
    """

    offset: float = constants.COSINE_OFFSET
    smallest: float = constants.COSINE_END

    @functools.cached_property
    def _angles(self) -> tuple[float, float]:
        """At t = 0, and how far the last one is from 90 degrees; float64, for alpha there is the sine of little."""
        first = self.offset / (1 + self.offset) * math.pi / 2
        return first, math.asin(math.sqrt(self.smallest) * math.cos(first))

    def log_alpha_bar(self, t: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """log(cos^2(angle) / cos^2(first angle)), in the form that does not cancel near either end."""
        first, missing = self._angles
        sweep = math.pi / 2 - missing - first
        top = math.cos(first)
        gone = jnp.sin(t * sweep) * jnp.sin(2 * first + t * sweep) / top**2
        left = jnp.sin(missing + (1 - t) * sweep) / top
        return jnp.where(t < 0.5, jnp.log1p(-jnp.where(t < 0.5, gone, 0)), 2 * jnp.log(left))

    def time(self, log_snr: Float[Array, "*t"]) -> Float[Array, "*t"]:
        """From the angle's sine and cosine."""
        first, missing = self._angles
        top = math.cos(first)
        cosine = top * jnp.sqrt(jax.nn.sigmoid(log_snr))
        sine = jnp.sqrt(math.sin(first) ** 2 + top**2 * jax.nn.sigmoid(-log_snr))
        return (jnp.arctan2(sine, cosine) - first) / (math.pi / 2 - missing - first)


PROCESSES: dict[str, Callable[..., VPProcess]] = {"linear": LinearBetas, "vp_sde": VPSDE, "cosine": Cosine}


def build_process(name: str) -> VPProcess:
    """The process of that name, with its published constants.

    Raises:
        ValueError: there is no such process.
    """
    if name not in PROCESSES:
        raise ValueError(f"process is {name!r}: expected one of {', '.join(PROCESSES)}")
    return PROCESSES[name]()
