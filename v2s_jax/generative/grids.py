"""Where on the path a solver stops: `size` + 1 times of which the first `steps` + 1 count, the rest repeat the end.

`steps` may be traced, so that one compiled sampler serves every number of steps up to `size`. All grids run from the
path's noise to its data; what is called a fraction goes from 0 at the noise to 1 at the data.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from v2s_jax.generative.constants import LOG_SNR_BOUND, MARGIN
from v2s_jax.generative.paths import GaussianPath

Steps = int | Int[Array, ""]
Grid = Callable[[GaussianPath, Steps, int], Float[Array, "N"]]


def uniform(path: GaussianPath, steps: Steps, size: int) -> Float[Array, "N"]:
    """Equal steps in t."""
    return _at(path, _fractions(steps, size))


def quadratic(path: GaussianPath, steps: Steps, size: int) -> Float[Array, "N"]:
    """The distance from the data is the square of a uniform grid's: denser near the data (DDIM, arXiv 2010.02502)."""
    return _at(path, 1 - (1 - _fractions(steps, size)) ** 2)


def sway(path: GaussianPath, steps: Steps, size: int, coefficient: float = -1.0) -> Float[Array, "N"]:
    """F5-TTS's sway sampling (Chen et al. 2024, arXiv 2410.06885).

    Args:
        path: the flow.
        steps: that count.
        size: of the padded grid, in steps.
        coefficient: in [-1, 2 / (pi - 2)]: below 0 denser near the noise, above 0 near the data.
    """
    u = _fractions(steps, size)
    swayed = u + coefficient * (jnp.cos(jnp.pi / 2 * u) - 1 + u)
    return _at(path, jnp.where(u < 1, swayed, 1))  # the cosine of pi / 2 is not quite 0


def shifted(path: GaussianPath, steps: Steps, size: int, shift: float = 3.0) -> Float[Array, "N"]:
    """Stable Diffusion 3's shift for large data (Esser et al. 2024, arXiv 2403.03206, equation 23).

    Args:
        path: the flow.
        steps: that count.
        size: of the padded grid, in steps.
        shift: above 1 denser near the noise; 1 is the uniform grid.
    """
    left = 1 - _fractions(steps, size)
    return _at(path, 1 - shift * left / (1 + (shift - 1) * left))


def log_snr(path: GaussianPath, steps: Steps, size: int, margin: float = MARGIN) -> Float[Array, "N"]:
    """Equal steps in log-SNR, which DPM-Solver++ is made for, but for the last one.

    Args:
        path: the diffusion or flow.
        steps: that count.
        size: of the padded grid, in steps.
        margin: the last step is from this distance to the data.
    """
    first, last = _ends(path, margin)
    return _inner(path, steps, size, lambda u: path.time(first + u * (last - first)))


def karras(path: GaussianPath, steps: Steps, size: int, rho: float = 7.0, margin: float = MARGIN) -> Float[Array, "N"]:
    """Equal steps in (sigma / alpha)^(1 / rho), but for the last one (Karras et al. 2022, arXiv 2206.00364).

    Args:
        path: the diffusion or flow.
        steps: that count.
        size: of the padded grid, in steps.
        rho: how much denser near the data.
        margin: the last step is from this distance to the data.
    """
    first, last = (jnp.exp(-end / (2 * rho)) for end in _ends(path, margin))
    return _inner(path, steps, size, lambda u: path.time(-2 * rho * jnp.log(first + u * (last - first))))


GRIDS: dict[str, Grid] = {
    "uniform": uniform,
    "quadratic": quadratic,
    "sway": sway,
    "shifted": shifted,
    "log_snr": log_snr,
    "karras": karras,
}


def _fractions(steps: Steps, size: int) -> jax.Array:
    return jnp.minimum(jnp.arange(size + 1) / jnp.maximum(steps, 1), 1)


def _at(path: GaussianPath, fraction: jax.Array) -> jax.Array:
    """From fractions to times, exact at both ends."""
    return (1 - fraction) * path.noise_time + fraction * path.data_time


def _ends(path: GaussianPath, margin: float) -> tuple[jax.Array, jax.Array]:
    near = jnp.array(path.data_time + margin * (path.noise_time - path.data_time))
    return jnp.maximum(path.log_snr(jnp.array(path.noise_time)), -LOG_SNR_BOUND), path.log_snr(near)


def _inner(path: GaussianPath, steps: Steps, size: int, curve: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """The curve from noise to near the data in `steps` - 1 steps, then the data."""
    index = jnp.arange(size + 1)
    times = jnp.where(index > 0, curve(_fractions(jnp.maximum(steps - 1, 1), size)), path.noise_time)
    return jnp.where(index < steps, times, path.data_time)
