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
    np.testing.assert_allclose(found[4:-4], f0, rtol=5e-4)  # a cent


def test_frames_line_up_with_time():
    wave = np.concatenate([voice(110, 8000), np.zeros(8000, np.float32), voice(220, 8000)])
    found = pitch(wave)
    np.testing.assert_allclose(found[4:47], 110, rtol=0.005)
    assert not found[53:97].any()
    np.testing.assert_allclose(found[104:147], 220, rtol=0.005)


def test_a_glide_is_followed():
    t = np.arange(32000) / 16000
    phase = 2 * np.pi * (100 * t + 50 * t**2)  # 100 Hz to 300 Hz in two seconds
    wave = sum(np.sin(k * phase) / k for k in range(1, 8)).astype(np.float32) * 0.2
    expected = 100 + 100 * np.arange(200) / 100
    np.testing.assert_allclose(pitch(wave)[5:-5], expected[5:-5], rtol=0.01)


def test_a_missing_fundamental_is_found():
    t = np.arange(16000) / 16000
    wave = sum(np.sin(2 * np.pi * 120 * k * t) for k in (3, 4, 5, 6)).astype(np.float32) * 0.1
    np.testing.assert_allclose(pitch(wave)[4:-4], 120, rtol=0.005)


def test_what_is_30_dB_down_is_silence_but_level_does_not_matter():
    quiet = np.concatenate([voice(110, 8000), 0.01 * voice(220, 8000)])
    assert not pitch(quiet)[53:].any()
    np.testing.assert_array_equal(pitch(quiet)[:48] > 0, pitch(0.05 * quiet)[:48] > 0)


def test_long_sound_is_worked_through_in_parts():
    wave = np.tile(voice(125, 16000), 12)  # 125 periods a second: no seam
    found = pitch(wave)
    assert found.shape == (1200,)
    np.testing.assert_allclose(found[4:-4], 125, rtol=1e-3)


def test_noise_silence_and_nothing_are_unvoiced():
    noise = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    assert (pitch(noise) > 0).mean() < 0.05
    assert not pitch(np.zeros(1600, np.float32)).any()
    assert pitch(np.ones(100, np.float32)).shape == (0,)
    assert pitch(np.ones(1000, np.float32)).shape == (6,)


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
