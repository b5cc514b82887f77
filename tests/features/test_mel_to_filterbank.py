import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.speech import voice
from v2s_jax.constants import LOG_FLOOR
from v2s_jax.features.filterbank import stacked_filterbank_jax
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.features.mel_to_filterbank import stacked_filterbank_of_mel

convert = jax.jit(stacked_filterbank_of_mel)


def test_it_says_about_what_the_wave_says():
    wave = jnp.asarray(voice(160))[None]
    length = jnp.array([40])
    true, found = np.asarray(stacked_filterbank_jax(wave, length)), np.asarray(convert(log_mel_jax(wave), length))
    assert np.corrcoef(true[0, 1:-1].ravel(), found[0, 1:-1].ravel())[0, 1] > 0.9


def test_a_burst_is_heard_when_it_comes():
    wave = np.zeros((1, 6400), np.float32)
    wave[0, 3000:3160] = np.random.default_rng(0).normal(size=160) * 0.3
    found = np.asarray(convert(log_mel_jax(jnp.asarray(wave)), jnp.array([10])))
    # Its centre is sample 3080; the frames of the fifth step are centred on samples 2760, 2920, 3080 and 3240.
    assert found[0, 4].reshape(4, 26).mean(1).argmax() == 2


@pytest.mark.parametrize("frames", [1, 7])
def test_padding_changes_nothing(frames):
    rng = np.random.default_rng(1)
    mel = rng.normal(-4, 2, (1, 4 * frames, 80)).astype(np.float32)
    beyond = np.concatenate([mel, rng.normal(0, 2, (1, 8, 80)).astype(np.float32)], axis=1)
    length = jnp.array([frames])
    np.testing.assert_allclose(convert(beyond, length)[:, :frames], convert(mel, length), atol=1e-5)


def test_gradients_are_finite_even_in_silence():
    def total(mel):
        return jnp.sum(stacked_filterbank_of_mel(mel, jnp.array([3])) ** 3)

    for level in (LOG_FLOOR, -100.0, 3.0):
        assert np.isfinite(jax.jit(jax.grad(total))(jnp.full((1, 12, 80), level))).all()
