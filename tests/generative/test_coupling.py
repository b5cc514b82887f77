import itertools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.generative.coupling import assignment, minibatch_ot, transport_cost

assign = jax.jit(assignment)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), ties=st.booleans())
def test_the_assignment_is_the_cheapest_of_all(seed, ties):
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 4, (5, 5)).astype(np.float32) if ties else rng.normal(size=(5, 5)).astype(np.float32)
    rows = np.asarray(assign(jnp.asarray(cost)))
    assert sorted(rows) == list(range(5))
    best = min(sum(cost[row, column] for column, row in enumerate(order)) for order in itertools.permutations(range(5)))
    np.testing.assert_allclose(cost[rows, np.arange(5)].sum(), best, atol=1e-5)


def test_costs_by_hand():
    x_0, x_1 = jnp.array([[[0.0], [1.0]], [[2.0], [5.0]]]), jnp.array([[[1.0], [1.0]], [[2.0], [9.0]]])
    np.testing.assert_allclose(transport_cost(x_0, x_1), [[1, 68], [17, 16]], rtol=1e-6)
    mask = jnp.array([[[True], [True]], [[True], [False]]])
    np.testing.assert_allclose(transport_cost(x_0, x_1, mask), [[1, 4], [17, 0]], atol=1e-5)


def test_noise_goes_to_its_nearest_data():
    x_1 = jnp.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    x_0 = jnp.array([[9.0, 1.0], [1.0, 9.0], [1.0, -1.0]])
    np.testing.assert_array_equal(jax.jit(minibatch_ot)(x_0, x_1), np.asarray(x_0)[[2, 0, 1]])


def test_padding_has_no_say_in_the_coupling():
    rng = np.random.default_rng(0)
    x_0, x_1 = (jnp.asarray(rng.standard_normal((4, 3, 2)), jnp.float32) for _ in range(2))
    mask = jnp.arange(3)[None, :, None] < jnp.array([3, 2, 1, 3])[:, None, None]
    couple = jax.jit(minibatch_ot)
    expected = couple(x_0, x_1, mask)
    np.testing.assert_array_equal(couple(x_0, jnp.where(mask, x_1, jnp.nan), mask), expected)
    assert (couple(x_0, jnp.where(mask, x_1, 50.0 * x_0[::-1]), jnp.ones_like(mask)) != expected).any()
