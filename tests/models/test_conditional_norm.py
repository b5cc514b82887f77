import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from v2s_jax.models.conditional_norm import ConditionalLayerNorm
from v2s_jax.models.rngs import Rngs

RNG = np.random.default_rng(0)
X, SPEAKER = (jnp.asarray(RNG.standard_normal(shape), jnp.float32) for shape in ((2, 3, 8), (2, 5)))


def test_it_begins_as_a_plain_layer_norm():
    found = ConditionalLayerNorm(8, 5, Rngs(0))(3 * X + 1, SPEAKER)
    np.testing.assert_allclose(found, (X - X.mean(-1, keepdims=True)) / X.std(-1, keepdims=True), atol=1e-4)


def test_a_condition_scales_and_shifts_its_own_row_alone():
    norm = ConditionalLayerNorm(8, 5, Rngs(0))
    plain = norm(X, SPEAKER)
    kernel = jnp.zeros((5, 16)).at[0, :8].set(2.0).at[1, 8:].set(-1.0)
    norm.modulate.kernel[...] = kernel
    found = norm(X, SPEAKER.at[1].set(jnp.array([0.5, 3, 0, 0, 0])))
    np.testing.assert_allclose(found[1], 2 * plain[1] - 3, atol=1e-5)
    np.testing.assert_allclose(found[0], (1 + 2 * SPEAKER[0, 0]) * plain[0] - SPEAKER[0, 1], atol=1e-5)


def test_it_learns_from_the_first_step_and_keeps_the_dtype():
    graphdef, state = nnx.split(ConditionalLayerNorm(8, 5, Rngs(0)))
    gradient = jax.grad(lambda state: jnp.sum(nnx.merge(graphdef, state)(X, SPEAKER)[..., 0] ** 2))(state)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
    assert nnx.merge(graphdef, state)(X.astype(jnp.bfloat16), SPEAKER).dtype == jnp.bfloat16
