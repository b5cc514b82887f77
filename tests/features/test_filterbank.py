import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_speech_features import logfbank

from v2s_jax.features.filterbank import log_filterbank, stacked_filterbank, stacked_filterbank_jax


def noise(n, seed=0):
    return (np.random.default_rng(seed).normal(size=n) * 0.1).astype(np.float32)


def as_int16(wave):
    return np.clip(np.rint(wave.astype(float) * 32768), -32768, 32767).astype(np.int16)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4000), st.integers(0, 1000))
def test_equals_python_speech_features(n, seed):
    wave = noise(n, seed)
    np.testing.assert_allclose(log_filterbank(wave), logfbank(as_int16(wave), 16000), atol=1e-9)


@pytest.mark.parametrize("frames", [1, 3, 75])
def test_stacking_equals_the_published_recipe(frames):
    wave = noise(640 * frames)
    energies = logfbank(as_int16(wave), 16000)
    assert len(energies) == 4 * frames - 1  # so the last step ends with 26 zeros before the normalisation
    stacked = np.concatenate([energies, np.zeros((1, 26))]).reshape(frames, 104)
    np.testing.assert_allclose(stacked_filterbank(wave, frames, normalize=False), stacked, rtol=1e-6)
    normal = (stacked - stacked.mean(1, keepdims=True)) / np.sqrt(stacked.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(stacked_filterbank(wave, frames), normal, atol=1e-5)


def test_steps_are_cut_or_padded_to_the_video():
    wave = noise(6400)
    whole = stacked_filterbank(wave, 10)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(stacked_filterbank(wave, 7), whole[:7])
    longer = stacked_filterbank(wave, 12)
    np.testing.assert_array_equal(longer[:10], whole)
    assert not longer[10:].any()


def test_silence_and_nothing_are_finite():
    silent = log_filterbank(np.zeros(800, np.float32))
    np.testing.assert_allclose(silent, np.log(np.finfo(float).eps))
    assert stacked_filterbank(np.zeros(0, np.float32), 2).shape == (2, 104)


def test_a_sine_excites_its_filter():
    # HTK mel of 1000 Hz is 1000, of 8000 Hz 2840: filter 1000 / (2840 / 27) = 9.5, so index 8 or 9.
    wave = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 16000)).astype(np.float32)
    assert set(log_filterbank(wave)[2:-2].argmax(1)) <= {8, 9}


def test_on_the_device_each_row_is_what_it_is_alone():
    lengths = [8, 3, 0, 1]
    audio = np.stack([scale * noise(640 * 8, seed) for seed, scale in enumerate([1, 20, 1, 0.01])])  # one is clipped
    audio[0, 1500:3000] = 0
    for row, length in enumerate(lengths):
        audio[row, 640 * length :] = 0
    found = jax.jit(stacked_filterbank_jax)(audio, np.array(lengths))
    assert found.shape == (4, 8, 104) and found.dtype == np.float32
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(
            found[row, :length], stacked_filterbank(audio[row, : 640 * length], length), atol=1e-4
        )
        assert not found[row, length:].any()
