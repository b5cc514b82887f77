"""What a network may predict, all of it convertible given x_t and t.

| kind | what it is | source |
|---|---|---|
| `x_0` (diffusion), `x_1` (flow matching) | the data | |
| `eps` | the noise | Ho et al. 2020 |
| `v` | alpha eps - sigma x_0 | Salimans and Ho 2022, arXiv 2202.00512 |
| `score` | gradient of log p(x_t), -eps / sigma | Song et al. 2021 |
| `velocity` | dx_t/dt along the path | Lipman et al. 2023, arXiv 2210.02747 |

In flow matching's own names x_0 is the noise; there the kind `x_0` does not exist, so that the two cannot be confused.
"""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath, along


class Estimate(NamedTuple):
    """The two ends of the path through one x_t; every prediction is a linear combination of them."""

    data: Float[Array, "B *D"]
    eps: Float[Array, "B *D"]


def to_estimate(
    path: GaussianPath,
    kind: str,
    prediction: Float[Array, "B *D"],
    x_t: Float[Array, "B *D"],
    t: Float[Array, "*t"],
) -> Estimate:
    """Data and noise that a prediction of `kind` at x_t stands for.

    Args:
        path: the diffusion or flow.
        kind: one of `path.kinds`.
        prediction: of the network.
        x_t: what the network was given.
        t: [] or [B].

    Raises:
        ValueError: the path has no such kind.
    """
    alpha, sigma = (along(values, x_t) for values in (path.alpha(t), path.sigma(t)))
    match _known(path, kind):
        case path.data_name:
            return Estimate(prediction, (x_t - alpha * prediction) / sigma)
        case "eps":
            return Estimate((x_t - sigma * prediction) / alpha, prediction)
        case "score":
            return Estimate((x_t + sigma**2 * prediction) / alpha, -sigma * prediction)
        case "v":  # alpha^2 + sigma^2 is 1
            return Estimate(alpha * x_t - sigma * prediction, sigma * x_t + alpha * prediction)
    d_alpha, d_sigma = (along(values, x_t) for values in path.rates(t))
    determinant = alpha * d_sigma - sigma * d_alpha
    data = (d_sigma * x_t - sigma * prediction) / determinant
    return Estimate(data, (alpha * prediction - d_alpha * x_t) / determinant)


def from_estimate(path: GaussianPath, kind: str, estimate: Estimate, t: Float[Array, "*t"]) -> Float[Array, "..."]:
    """What a network that predicts `kind` would have said; of the true data and noise, its training target.

    Raises:
        ValueError: the path has no such kind.
    """
    data, eps = estimate
    match _known(path, kind):
        case path.data_name:
            return data
        case "eps":
            return eps
        case "score":
            return -eps / along(path.sigma(t), eps)
        case "v":
            return along(path.alpha(t), eps) * eps - along(path.sigma(t), data) * data
    return velocity(path, estimate, t)


def convert(
    path: GaussianPath,
    source: str,
    target: str,
    prediction: Float[Array, "B *D"],
    x_t: Float[Array, "B *D"],
    t: Float[Array, "*t"],
) -> Float[Array, "B *D"]:
    """A prediction of kind `source` as one of kind `target`.

    Raises:
        ValueError: the path has no such kind.
    """
    return from_estimate(path, target, to_estimate(path, source, prediction, x_t, t), t)


def velocity(path: GaussianPath, estimate: Estimate, t: Float[Array, "*t"]) -> jax.Array:
    """dx_t/dt along the straight mixture: the right-hand side of the probability-flow ODE."""
    d_alpha, d_sigma = path.rates(t)
    return along(d_alpha, estimate.data) * estimate.data + along(d_sigma, estimate.eps) * estimate.eps


def _known(path: GaussianPath, kind: str) -> str:
    if kind not in path.kinds:
        raise ValueError(f"prediction is {kind!r}: expected one of {', '.join(path.kinds)}")
    return kind
