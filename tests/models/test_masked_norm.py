import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.models.masked_norm import MaskedGroupNorm


def test_it_is_group_norm_over_the_frames_there_are():
    x = np.random.default_rng(0).normal(3, 2, (2, 5, 6)).astype(np.float32)
    mask = np.arange(5)[None] < np.array([[5], [3]])
    norm = MaskedGroupNorm(6, 2)
    norm.scale[...], norm.bias[...] = jnp.arange(1.0, 7), jnp.arange(6.0)
    found = jax.jit(lambda x, mask: norm(x, mask))(x, mask)
    for row, length in enumerate((5, 3)):
        groups = x[row, :length].reshape(length, 2, 3)
        expected = (groups - groups.mean((0, 2), keepdims=True)) / groups.std((0, 2), keepdims=True)
        expected = expected.reshape(length, 6) * np.arange(1, 7) + np.arange(6)
        np.testing.assert_allclose(found[row, :length], expected, atol=1e-4)


def test_no_frames_are_no_harm():
    norm = MaskedGroupNorm(4, 2)
    gradient = jax.jit(jax.grad(lambda x: norm(x, jnp.zeros((1, 3), bool)).sum()))(jnp.ones((1, 3, 4)))
    assert np.isfinite(gradient).all()


def test_groups_must_divide_the_width():
    with pytest.raises(ValueError, match="width 6 is no multiple of 4 groups"):
        MaskedGroupNorm(6, 4)
