"""Training losses: regression onto what the network predicts, over valid entries, weighted by the noise level."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from v2s_jax.generative.paths import GaussianPath, along
from v2s_jax.generative.predictions import Estimate, from_estimate, to_estimate

WEIGHTINGS = ("none", "snr", "truncated_snr", "min_snr", "p2")


def denoising_loss(
    denoiser: Callable[[jax.Array, jax.Array], jax.Array],
    path: GaussianPath,
    data: Float[Array, "B *D"],
    eps: Float[Array, "B *D"],
    t: Float[Array, "B"],
    *,
    kind: str,
    norm: str = "l2",
    weighting: str = "none",
    mask: Bool[Array, "B ..."] | None = None,
) -> Float[Array, ""]:
    """How far the network at x_t is from what it should say, on average over valid entries.

    DDPM is kind="eps" with norm="l2" (Ho et al. 2020, equation 14); DiffV2S is kind="x_0" with norm="l1".

    Args:
        denoiser: of (x_t [B, *D], t [B]).
        path: the diffusion or flow.
        data: in diffusion's names x_0, in flow matching's x_1.
        eps: standard normal noise.
        t: a time for each row (`times.py`).
        kind: what the network predicts, one of `path.kinds`.
        norm: "l1" or "l2".
        weighting: of the rows, see `weights`.
        mask: True at valid entries, of x's rank, axes of length 1 standing for whole ones.
    """
    target = from_estimate(path, kind, Estimate(data, eps), t)
    prediction = denoiser(path.perturb(data, eps, t), t)
    return masked_error(prediction, target, norm, mask, weights(path, kind, weighting, t))


def masked_error(
    prediction: Float[Array, "B *D"],
    target: Float[Array, "B *D"],
    norm: str,
    mask: Bool[Array, "B ..."] | None = None,
    row_weights: Float[Array, "B"] | None = None,
) -> Float[Array, ""]:
    """Mean absolute ("l1") or squared ("l2") error in float32 over valid entries of all rows; 0 if there are none.

    Args:
        prediction: of the network; what it says of padding has no influence, nor any gradient.
        target: what it should be.
        norm: "l1" or "l2".
        mask: True at valid entries, of x's rank, axes of length 1 standing for whole ones.
        row_weights: multiply the rows' errors, not their share in the mean.

    Raises:
        ValueError: there is no such norm.
    """
    if norm not in ("l1", "l2"):
        raise ValueError(f"norm is {norm!r}: expected l1 or l2")
    valid = jnp.broadcast_to(jnp.ones((1,) * target.ndim, bool) if mask is None else mask, target.shape)
    error = jnp.where(valid, prediction.astype(jnp.float32) - target.astype(jnp.float32), 0)
    error = jnp.abs(error) if norm == "l1" else error**2
    if row_weights is not None:
        error = error * along(row_weights, error)
    return error.sum() / jnp.maximum(valid.sum(), 1)


def weights(path: GaussianPath, kind: str, weighting: str, t: Float[Array, "B"], gamma: float = 5.0) -> jax.Array:
    """Weights [B] of the squared error of a prediction of `kind`.

    The published ones are weights of the error of x_0. As the kinds' errors are proportional to each other at a given
    t, the same loss can be had from each: with "snr" an x_0 network trains as an unweighted eps one does.

    Args:
        path: the diffusion.
        kind: what the network predicts, one of `path.kinds`.
        weighting: of x_0's squared error. "snr": SNR (Ho et al. 2020); "truncated_snr": max(SNR, 1) (Salimans and Ho
            2022); "min_snr": min(SNR, gamma) (Hang et al. 2023, arXiv 2303.09556); "p2": SNR / (1 + SNR) (Choi et al.
            2022, arXiv 2204.00227, with both of its constants 1). "none": 1, of whatever is predicted.
        t: a time for each row.
        gamma: of "min_snr"; 5 is the paper's.

    Raises:
        ValueError: there is no such weighting.
    """
    if weighting == "none":
        return jnp.ones_like(t)
    log_snr = path.log_snr(t)
    match weighting:
        case "snr":
            log_weight = log_snr
        case "truncated_snr":
            log_weight = jnp.maximum(log_snr, 0)
        case "min_snr":
            log_weight = jnp.minimum(log_snr, jnp.log(gamma))
        case "p2":
            log_weight = jax.nn.log_sigmoid(log_snr)
        case _:
            raise ValueError(f"weighting is {weighting!r}: expected one of {', '.join(WEIGHTINGS)}")
    # The error of the data that an error of 1 in the prediction makes at a given x_t.
    unit = to_estimate(path, kind, jnp.ones_like(t), jnp.zeros_like(t), t).data
    return jnp.exp(log_weight) * unit**2
