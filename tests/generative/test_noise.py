import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.generative.noise import frame_noise, row_keys


def test_noise_is_of_the_row_and_the_frame_alone():
    key = jax.random.key(3)
    batch = jax.jit(frame_noise(row_keys(key, jnp.array([5, 8, 2])), (6, 4)))
    alone = jax.jit(frame_noise(row_keys(key, jnp.array([8])), (3, 4)))
    for number in (0, 7):
        np.testing.assert_array_equal(batch(number)[1, :3], alone(number)[0])


def test_windows_of_a_clip_share_noise_where_they_overlap():
    keys = row_keys(jax.random.key(3), jnp.zeros(2, jnp.int32))
    windows = jax.jit(frame_noise(keys, (6, 4), jnp.array([0, 4])))
    for number in (0, 7):
        first, second = windows(number)
        np.testing.assert_array_equal(first[4:], second[:2])
        assert not np.isin(first[:4], second).any()


def test_noise_is_standard_normal_and_nowhere_the_same():
    draw = jax.jit(frame_noise(row_keys(jax.random.key(0), jnp.arange(8)), (16, 20)))
    x = np.stack([draw(0), draw(1)])
    assert x.shape == (2, 8, 16, 20) and len(np.unique(x)) > x.size - 10
    assert abs(x.mean()) < 0.05 and x.std() == pytest.approx(1, abs=0.03)
    for axis in range(3):
        first, second = (np.take(x, index, axis).ravel() for index in (0, 1))
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


def test_keys_of_another_generator_are_refused():
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 2)
    with pytest.raises(ValueError, match="rbg: expected threefry2x32"):
        frame_noise(keys, (3,))
