"""Guidance: by the gradient of an energy (`Guidance.correct` of `sampling.py`), and classifier-free.

An energy says of every row how far the estimate of its data is from what is wanted, e.g. 1 - cosine similarity of
speaker embeddings. It must mask padding itself; rows do not see each other.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.predictions import to_estimate
from v2s_jax.generative.sampling import Correct, Denoise, Denoiser

Energy = Callable[[jax.Array], jax.Array]  # of the estimate of the data [B, *D]: [B]


def score_guidance(energy: Energy, path: GaussianPath) -> Correct:
    """Subtracts the energy's gradient by x_t from the score: classifier guidance, and DiffV2S's guided sampling.

    It samples from p(x) exp(-scale * energy) as far as the energy of the estimate is that of the data. By Tweedie's
    formula the estimate of the data moves by -scale sigma^2 / alpha times that gradient, which goes through the
    network (Dhariwal and Nichol 2021, arXiv 2105.05233; Choi et al. 2023, arXiv 2308.07787). Where there is hardly
    any data, sigma^2 / alpha is large: 150 at t = 1 of `VPSDE`, 20000 of `Cosine`. Leave such steps out.
    """

    def correct(denoise: Denoise, x_t: jax.Array, t: jax.Array, scale: jax.Array) -> jax.Array:
        def total(x_t: jax.Array) -> tuple[jax.Array, jax.Array]:
            data = denoise(x_t)
            return energy(data).sum(), data

        gradient, data = jax.grad(total, has_aux=True)(x_t)
        return data - scale * path.sigma(t) ** 2 / path.alpha(t) * gradient

    return correct


def estimate_guidance(energy: Energy) -> Correct:
    """Moves the estimate of the data down the energy's gradient by itself: cheaper, not through the network."""

    def correct(denoise: Denoise, x_t: jax.Array, t: jax.Array, scale: jax.Array) -> jax.Array:
        data = denoise(x_t)
        return data - scale * jax.grad(lambda data: energy(data).sum())(data)

    return correct


def nested(predictions: Float[Array, "C B *D"], scales: Float[Array, "C-1"]) -> Float[Array, "B *D"]:
    """The first and scales[i] times the way from each to the next: conditions added one after another.

    With one condition: u + scale (c - u), so 0 is unconditional, 1 conditional, more is guided. With several it is
    InstructPix2Pix's rule (Brooks et al. 2023, arXiv 2211.09800).

    Args:
        predictions: without any condition, with the first, with the first two, ...
        scales: of each condition.
    """
    return predictions[0] + jnp.tensordot(scales, jnp.diff(predictions, axis=0), 1)


def independent(predictions: Float[Array, "C B *D"], scales: Float[Array, "C-1"]) -> Float[Array, "B *D"]:
    """The first and scales[i] times the way from it to each other: conditions each on its own.

    Composable diffusion (Liu et al. 2022, arXiv 2206.01714).

    Args:
        predictions: without any condition, with the first alone, with the second alone, ...
        scales: of each condition.
    """
    return predictions[0] + jnp.tensordot(scales, predictions[1:] - predictions[:1], 1)


def classifier_free(
    denoiser: Callable[[jax.Array, jax.Array, Any], jax.Array],
    conditions: Any,
    scales: Float[Array, "K"],
    combine: Callable[[jax.Array, jax.Array], jax.Array] = nested,
) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598), all branches in one batch of C times B rows.

    Args:
        denoiser: of (x_t [B, *D], t [B], condition), a pytree of arrays [B, ...].
        conditions: the same pytree with arrays [C, B, ...]: which condition is dropped in which branch is the
            caller's, in the order that `combine` wants.
        scales: traced; what they mean, `combine` says.
        combine: `nested` or `independent`.

    Returns:
        A network of (x_t, t) for `sample`.
    """
    branches = len(scales) + 1

    def guided(x_t: jax.Array, t: jax.Array) -> jax.Array:
        x, times = (jnp.broadcast_to(array, (branches, *array.shape)) for array in (x_t, t))
        x, times, condition = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), (x, times, conditions))
        predictions = denoiser(x, times, condition).astype(jnp.float32)
        return combine(predictions.reshape(branches, *x_t.shape), scales)

    return guided


def instead(denoiser: Denoiser, path: GaussianPath, kind: str) -> Correct:
    """Another network's estimate in place of the loop's own: e.g. `classifier_free` at chosen steps only.

    The loop's own network is then the conditional one, which costs half as much.

    Args:
        denoiser: what to evaluate at guided steps.
        path: the diffusion or flow.
        kind: what it predicts.
    """

    def correct(denoise: Denoise, x_t: jax.Array, t: jax.Array, scale: jax.Array) -> jax.Array:
        prediction = denoiser(x_t, jnp.broadcast_to(t, x_t.shape[:1])).astype(jnp.float32)
        return to_estimate(path, kind, prediction, x_t, t).data

    return correct
