import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.features.spectrum import magnitudes


@pytest.mark.parametrize(("size", "hop"), [(256, 64), (64, 32)])
def test_frames_are_those_of_a_plain_transform(size, hop):
    wave = np.random.default_rng(0).normal(size=(2, 700)).astype(np.float32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    starts = range(0, 700 // hop * hop - size + 1, hop)
    expected = np.stack([np.abs(np.fft.rfft(wave[:, s : s + size] * window)) for s in starts], 1)
    np.testing.assert_allclose(magnitudes(jnp.asarray(wave), size, hop), expected, atol=1e-4)


def test_waves_shorter_than_a_window_are_padded():
    assert magnitudes(jnp.ones((1, 100)), 256, 64).shape == (1, 1, 129)


def test_silence_has_the_floor_and_a_finite_gradient():
    np.testing.assert_allclose(magnitudes(jnp.zeros((1, 256)), 256, 64), 1e-4, rtol=1e-5)
    gradient = jax.grad(lambda wave: jnp.log(magnitudes(wave, 256, 64)).sum())(jnp.zeros((1, 256)))
    assert jnp.isfinite(gradient).all()
