import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.models.rngs import Rngs
from v2s_jax.models.windows import cut, starts


def test_windows_begin_where_they_are_told():
    x = jnp.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(cut(x, jnp.array([0, 3]), 3), [[0, 1, 2], [9, 10, 11]])
    np.testing.assert_array_equal(cut(x, jnp.array([0, 0]), 9), x)  # shorter than a window


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=4, max_size=4), st.integers(0, 1000))
def test_windows_stay_within_clips_that_fill_them(lengths, seed):
    first = starts(jnp.array(lengths), 8, 3, Rngs(seed))
    room = np.maximum(np.array(lengths) - 3, 0)
    assert ((np.asarray(first) >= 0) & (np.asarray(first) <= room)).all()


def test_every_start_is_drawn():
    first = starts(jnp.full(200, 6), 8, 3, Rngs(0))
    assert set(np.asarray(first).tolist()) == {0, 1, 2, 3}
