"""Mixtures of Gaussians, for which the perfect network and the density are closed-form on every Gaussian path."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.predictions import convert


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Isotropic components of one width in D dimensions; arrays are [K, D] and [K]."""

    means: np.ndarray
    shares: np.ndarray
    std: float

    @property
    def mean(self):
        return self.shares @ self.means

    @property
    def covariance(self):
        centred = self.means - self.mean
        return centred.T @ (self.shares[:, None] * centred) + self.std**2 * np.eye(self.means.shape[1])

    def log_prob(self, x):
        return jax.scipy.special.logsumexp(self._joint(x, 1.0, self.std**2), -1)

    def _joint(self, x, alpha, variance):
        """Log density of x [B, D] and each component [B, K], the means scaled by alpha."""
        squares = jnp.sum((x[:, None] - alpha * self.means[None]) ** 2, -1)
        return (jnp.log(self.shares)[None] - squares / (2 * variance)) - x.shape[1] / 2 * jnp.log(2 * jnp.pi * variance)

    def denoiser(self, path: GaussianPath, kind: str | None = None):
        """The perfect network; t [B] is one for all rows here."""

        def data(x, t):
            alpha, sigma = path.alpha(t[0]), path.sigma(t[0])
            variance = alpha**2 * self.std**2 + sigma**2
            of = jax.nn.softmax(self._joint(x, alpha, variance), -1)
            expected = of @ jnp.asarray(self.means, jnp.float32)
            return expected + alpha * self.std**2 / variance * (x - alpha * expected)

        if kind is None:
            return data
        return lambda x, t: convert(path, path.data_name, kind, data(x, t), x, t)


def gaussian(mean: float = 0.6, std: float = 0.5) -> Mixture:
    return Mixture(np.array([[mean]]), np.array([1.0]), std)


def pair() -> Mixture:
    """Two unlike bumps in one dimension."""
    return Mixture(np.array([[-1.0], [0.8]]), np.array([0.3, 0.7]), 0.25)


def triangle() -> Mixture:
    """Three in two dimensions."""
    return Mixture(np.array([[-1.0, -0.5], [0.9, -0.4], [0.2, 1.0]]), np.array([0.25, 0.35, 0.4]), 0.3)
