import jax.numpy as jnp
import pytest

from v2s_jax.systems.regression import spectral_convergence


def test_spectral_convergence_by_hand():
    target = jnp.array([[[3.0, 4.0]], [[1.0, 0.0]]])
    predicted = jnp.array([[[0.0, 4.0]], [[1.0, 0.5]]])
    mask = jnp.ones((2, 1, 1), bool)
    assert float(spectral_convergence(target, predicted, mask)) == pytest.approx((3 / 5 + 0.5) / 2, abs=1e-4)
