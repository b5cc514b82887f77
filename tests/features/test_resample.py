import jax
import jax.numpy as jnp
import numpy as np

from v2s_jax.features.resample import change_speed


def tone(hz, samples=3200):
    return np.sin(2 * np.pi * hz * np.arange(samples) / 16000)


def test_speed_one_changes_nothing():
    wave = jnp.asarray(np.random.default_rng(0).normal(size=(2, 500)), jnp.float32)
    np.testing.assert_allclose(change_speed(wave, jnp.ones(2), 400), wave[:, :400], atol=1e-5)


def test_each_row_at_its_own_speed():
    wave = jnp.asarray(np.stack([tone(1000), tone(3000)]), jnp.float32)
    faster = jax.jit(change_speed, static_argnums=2)(wave, jnp.array([1.25, 0.8]), 2400)
    inside = slice(30, 2370)
    np.testing.assert_allclose(faster[0, inside], tone(1250)[:2400][inside], atol=2e-2)
    np.testing.assert_allclose(faster[1, inside], tone(2400)[:2400][inside], atol=2e-2)


def test_what_would_alias_is_removed():
    faster = change_speed(jnp.asarray(tone(7600), jnp.float32)[None], jnp.array([1.25]), 2400)
    assert abs(faster[0, 50:2350]).max() < 0.05  # 9500 Hz is beyond the band


def test_beyond_the_end_there_is_silence():
    assert not change_speed(jnp.ones((1, 100)), jnp.array([1.2]), 200)[0, 110:].any()
