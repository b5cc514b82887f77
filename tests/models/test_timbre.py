import jax.numpy as jnp
import numpy as np

from v2s_jax.models.rngs import Rngs
from v2s_jax.models.timbre import Timbre


def test_faces_become_unit_vectors_of_their_own():
    made = Timbre(4, 8, Rngs(0))
    found = made(jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32))
    assert found.shape == (3, 256)
    np.testing.assert_allclose(jnp.linalg.norm(found, axis=-1), 1, rtol=1e-5)
    assert float(found[0] @ found[1]) < 0.99
