import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.features.pitch import energy, pitch


def voice(f0, n=16000):
    t = np.arange(n) / 16000
    return (0.2 * sum(np.sin(2 * np.pi * f0 * k * t) / k for k in range(1, 8))).astype(np.float32)


@pytest.mark.parametrize("f0", [70, 100, 220, 440])
def test_a_steady_voice_has_its_pitch_everywhere(f0):
    found = pitch(voice(f0))
    assert found.shape == (100,) and found.dtype == np.float32
    assert (found > 0).all()
    assert np.abs(1200 * np.log2(np.median(found) / f0)) <= 15  # half a 20-cent step, and a little


def test_frames_line_up_with_time():
    wave = np.concatenate([voice(110, 8000), np.zeros(8000, np.float32), voice(220, 8000)])
    found = pitch(wave)
    assert np.allclose(found[5:44], 110, rtol=0.02)
    assert not found[56:94].any()
    assert np.allclose(found[106:145], 220, rtol=0.02)


def test_noise_silence_and_nothing_are_unvoiced():
    noise = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    assert (pitch(noise) > 0).mean() < 0.05
    assert not pitch(np.zeros(1600, np.float32)).any()
    assert pitch(np.ones(100, np.float32)).shape == (0,)


def test_energy_of_hand_made_waves():
    sine = np.sin(2 * np.pi * 100 * np.arange(16000) / 16000).astype(np.float32)  # a period divides the window
    np.testing.assert_allclose(energy(sine)[4:-4], np.log(np.sqrt(0.5)), atol=1e-5)
    np.testing.assert_allclose(energy(np.full(1600, 0.1, np.float32)), np.log(0.1), atol=1e-5)
    np.testing.assert_allclose(energy(np.zeros(1600, np.float32)), np.log(1e-5), atol=1e-5)
    assert energy(np.zeros(10, np.float32)).shape == (0,)


@settings(max_examples=25, deadline=None)
@given(st.integers(160, 3000), st.floats(0.01, 1.0))
def test_gain_shifts_energy(n, gain):
    wave = np.random.default_rng(n).normal(size=n).astype(np.float32)
    shift = energy((gain * wave).astype(np.float32)) - energy(wave)
    assert shift.shape == (n // 160,)
    np.testing.assert_allclose(shift, np.log(gain), atol=1e-4)
