import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from v2s_jax.models.rngs import Rngs
from v2s_jax.models.running import Running, keep_running


def moved(norm):
    """The statistics after a compiled call, and the names of what kept them."""
    graphdef, state = nnx.split(norm)

    @jax.jit
    def call(state, x):
        norm = nnx.merge(graphdef, state)
        norm(x)
        assert isinstance(norm.mean, nnx.BatchStat)
        return norm.mean[...], norm.var[...]

    return call(state, jnp.asarray(np.random.default_rng(0).normal(2, 3, (8, 3)), jnp.float32))


def test_statistics_move_as_they_do_in_flax():
    plain, ours = (moved(make(nnx.BatchNorm(3, momentum=0.9, rngs=Rngs(0)))) for make in (lambda x: x, keep_running))
    for expected, found in zip(plain, ours, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert np.abs(found - np.round(found)).max() > 0.01


def test_they_are_replaced_as_a_whole():
    statistic = Running(jnp.zeros(3))
    statistic[...] = jnp.ones(3)
    np.testing.assert_array_equal(statistic[...], jnp.ones(3))
    with pytest.raises(AssertionError, match="as a whole"):
        statistic[0] = 2.0
