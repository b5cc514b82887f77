import jax.numpy as jnp
import numpy as np

from v2s_jax.systems.info_nce import comparable, info_nce, retrieval

SPEAKER = jnp.array([7, 7, 3, 0])
PRESENT = jnp.array([True, True, True, False])


def test_who_is_compared_with_whom():
    expected = [[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(comparable(SPEAKER, PRESENT), np.array(expected, bool))


def test_the_loss_computed_by_hand():
    queries = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    keys = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [np.nan, 1.0]])  # the last is padding
    # At temperature 0.5 a similarity of 1 is a logit of 2. Row 0: own 2, other 0. Row 1: own 0, other 2.
    # Row 2: own 0, others 2 and 2.
    rows = [np.log(1 + np.exp(-2)), np.log(1 + np.exp(2)), np.log(1 + 2 * np.exp(2))]
    found = info_nce(queries, keys, comparable(SPEAKER, PRESENT), 0.5)
    np.testing.assert_allclose(found, np.mean(rows), rtol=1e-6)
    np.testing.assert_allclose(retrieval(queries, keys, comparable(SPEAKER, PRESENT)), 1 / 3)


def test_an_empty_batch_costs_nothing():
    nobody = jnp.zeros(4, bool)
    candidates = comparable(SPEAKER, nobody)
    assert info_nce(jnp.ones((4, 2)), jnp.ones((4, 2)), candidates, 0.1) == 0
    assert retrieval(jnp.ones((4, 2)), jnp.ones((4, 2)), candidates) == 0
