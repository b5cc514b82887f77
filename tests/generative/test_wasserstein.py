import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.generative import wasserstein


def test_losses_by_hand():
    assert wasserstein.critic_loss(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])) == pytest.approx(-1.5)
    assert wasserstein.generator_loss(jnp.array([0.0, 1.0])) == pytest.approx(-0.5)


@pytest.mark.parametrize("slope, penalty", [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_the_penalty_of_a_linear_critic_is_that_of_its_slope(slope, penalty):
    weights = jnp.array([[0.6, 0.0], [0.0, 0.8]]) * slope  # of norm `slope`
    real, fake = jax.random.normal(jax.random.key(0), (2, 3, 2, 2))
    found = wasserstein.gradient_penalty(
        lambda x: (x * weights[None]).sum((1, 2)), real, fake, jnp.array([0.0, 0.4, 1])
    )
    assert found == pytest.approx(penalty, abs=1e-4)


def test_the_penalty_looks_between_real_and_fake():
    # The slope of x^2 / 2 is x: 0.25 * 4 + 0.75 * 8 = 7 at a quarter of the real one.
    found = wasserstein.gradient_penalty(
        lambda x: (x**2).sum(1) / 2, jnp.array([[4.0]]), jnp.array([[8.0]]), jnp.array([0.25])
    )
    assert found == pytest.approx(36.0, rel=1e-5)


def test_a_critic_learns_from_the_penalty():
    def loss(weight):
        real, fake = jnp.array([[1.0]]), jnp.array([[0.0]])
        return wasserstein.gradient_penalty(lambda x: weight * (x**2).sum(1), real, fake, jnp.array([0.5]))

    np.testing.assert_allclose(jax.grad(loss)(2.0), 2 * (2.0 - 1) * 1, rtol=1e-5)  # the slope at 0.5 is the weight
