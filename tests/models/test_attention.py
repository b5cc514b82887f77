import jax
import jax.numpy as jnp
import numpy as np

from v2s_jax.models import attention


def inputs(dtype=jnp.float32):
    rng = np.random.default_rng(0)
    query, keys, values = (jnp.asarray(rng.normal(size=(2, n, 3, 4)), dtype) for n in (5, 6, 6))
    return query, keys, values, jnp.array([[True] * 6, [True] * 4 + [False] * 2])


def plain(query, keys, values, mask):
    """The definition, in float64."""
    query, keys, values = (np.asarray(x, np.float64) for x in (query, keys, values))
    scores = np.where(np.asarray(mask)[:, None, None], np.einsum("bthd,bshd->bhts", query, keys), -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    return np.einsum("bhts,bshd->bthd", weights, values)


def attend(query, keys, values, mask, dropout=lambda weights: weights):
    return attention.read(attention.similarities(query, keys), values, mask, dropout)


def test_it_is_the_softmax_of_the_products():
    found = jax.jit(attend)(*inputs())
    np.testing.assert_allclose(found, plain(*inputs()), atol=1e-6)


def test_keys_of_one_row_serve_all():
    query, keys, _, _ = inputs()
    found = attention.similarities(query, keys[:1])
    np.testing.assert_allclose(found[1], np.einsum("thd,shd->hts", query[1], keys[0]), atol=1e-5)


def test_large_scores_and_nothing_to_read_are_finite():
    query, keys, values, mask = inputs()
    assert np.isfinite(jax.jit(attend)(100 * query, 100 * keys, values, mask)).all()
    nothing = jnp.zeros_like(mask)
    np.testing.assert_allclose(attend(query, keys, values, nothing)[0, 0], values[0].mean(0), atol=1e-5)
    gradient = jax.grad(lambda q: attend(q, keys, values, nothing).sum())(query)
    assert np.isfinite(gradient).all()


def test_the_gradient_is_that_of_the_definition():
    query, keys, values, mask = inputs()

    def definition(query):
        scores = jnp.einsum("bthd,bshd->bhts", query, keys)
        weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, -1e30), -1)
        return jnp.sin(jnp.einsum("bhts,bshd->bthd", weights, values)).sum()

    found = jax.grad(lambda q: jnp.sin(attend(q, keys, values, mask)).sum())(query)
    np.testing.assert_allclose(found, jax.grad(definition)(query), atol=1e-5)


def test_dropout_acts_on_the_weights_and_not_on_their_sum():
    query, keys, values, mask = inputs()
    kept = attend(query, keys, values, mask, lambda weights: 2 * weights)
    np.testing.assert_allclose(kept, 2 * attend(query, keys, values, mask), rtol=1e-5)


def test_bfloat16_stays():
    found = attend(*inputs(jnp.bfloat16))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), plain(*inputs(jnp.bfloat16)), atol=0.05)
