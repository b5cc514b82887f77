"""Wasserstein GANs with gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028): the slope is held at 1."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def critic_loss(of_real: Float[Array, "B"], of_fake: Float[Array, "B"]) -> Float[Array, ""]:
    """E[D(fake)] - E[D(real)], which a critic makes small; minus it estimates the distance (equation 3)."""
    return jnp.mean(of_fake) - jnp.mean(of_real)


def generator_loss(of_fake: Float[Array, "B"]) -> Float[Array, ""]:
    """-E[D(fake)]."""
    return -jnp.mean(of_fake)


def gradient_penalty(
    critic: Callable[[Float[Array, "B ..."]], Float[Array, "B"]],
    real: Float[Array, "B ..."],
    fake: Float[Array, "B ..."],
    mix: Float[Array, "B"],
) -> Float[Array, ""]:
    """E[(|grad D(x)| - 1)^2] at points between real and fake (equation 3, its weight left out).

    Args:
        critic: verdicts, each on its own row.
        real: examples.
        fake: made ones.
        mix: the share of the real example in each point, uniform in [0, 1].
    """
    share = mix.reshape(-1, *(1,) * (real.ndim - 1))
    between = share * real + (1 - share) * fake
    slopes = jax.grad(lambda x: critic(x).sum())(between)
    norms = jnp.sqrt(jnp.sum(slopes**2, tuple(range(1, slopes.ndim))) + 1e-12)
    return jnp.mean((norms - 1) ** 2)
