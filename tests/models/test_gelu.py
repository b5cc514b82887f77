import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from v2s_jax.models.gelu import gelu

X = np.linspace(-12, 12, 4001, dtype=np.float32)


def test_it_is_x_times_the_normal_distribution():
    np.testing.assert_allclose(gelu(jnp.asarray(X)), X * ndtr(X.astype(np.float64)), atol=1e-6)
    np.testing.assert_allclose(gelu(jnp.asarray([1.0, -1.0, 0.0])), [0.8413447, -0.1586553, 0.0], atol=1e-7)


def test_its_gradient_is_that_of_the_formula():
    x = X.astype(np.float64)
    exact = ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(jax.vmap(jax.grad(gelu))(X), exact, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_numbers_are_rounded_once(dtype):
    x = jnp.asarray(X, dtype)
    exact = np.asarray(x, np.float64) * ndtr(np.asarray(x, np.float64))
    found = gelu(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(np.float32), exact, rtol=float(jnp.finfo(dtype).eps), atol=1e-6)
