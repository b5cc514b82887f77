import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_vocoder import filled
from v2s_jax.models.expression import ExpressionEncoder
from v2s_jax.models.rngs import Rngs

CHANNELS = (2, 3, 4, 5)
FACES = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 48, 48)), jnp.float32)


def encoder(dtype=jnp.float32):
    return filled(lambda: ExpressionEncoder(CHANNELS, 8, dtype, Rngs(0)))


@functools.cache
def program():
    model = encoder()
    return jax.jit(lambda faces, mask: model(faces, mask))


@given(lengths=st.lists(st.integers(0, 6), min_size=2, max_size=2))
@settings(deadline=None, max_examples=8)
def test_a_padded_clip_is_encoded_as_the_clip_alone(lengths):
    mask = jnp.arange(6)[None] < jnp.array(lengths)[:, None]
    padded = program()(jnp.where(mask[..., None, None], FACES, 9.0), mask)
    assert padded.shape == (2, 6, 8) and np.isfinite(padded).all()
    for row, length in enumerate(lengths):
        if length:
            alone = program()(FACES[row, None, :length], mask[row, None, :length])
            np.testing.assert_allclose(padded[row, :length], alone[0], atol=1e-5)


def test_faces_and_their_neighbours_matter_and_lighting_does_not():
    mask = jnp.ones((2, 6), bool)
    before = program()(FACES, mask)
    moved = np.abs(program()(FACES.at[0, 0].multiply(-1.0), mask) - before).max(-1)
    assert (moved[0] > 0).all() and not moved[1].any()
    np.testing.assert_allclose(program()(2 * FACES, mask), before, atol=1e-3)


def test_bfloat16_is_close():
    narrow, mask = encoder(jnp.bfloat16), jnp.ones((2, 6), bool)
    found = jax.jit(lambda faces: narrow(faces, mask))(FACES)
    np.testing.assert_allclose(found.astype(jnp.float32), program()(FACES, mask), atol=0.1)
