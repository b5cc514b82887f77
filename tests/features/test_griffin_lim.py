import numpy as np
import pytest

from v2s_jax.constants import LOG_FLOOR
from v2s_jax.features.filters import mel_filters
from v2s_jax.features.griffin_lim import griffin_lim, mel_to_magnitude
from v2s_jax.features.mel import log_mel


def vowels(n=16000):
    t = np.arange(n) / 16000
    phase = 2 * np.pi * (110 * t + 15 * t**2)
    tilt = 0.5 + 0.5 * np.sin(2 * np.pi * 2.5 * t)
    return (sum(np.sin(k * phase) * (tilt**k + 0.05) / k for k in range(1, 25)) * 0.2).astype(np.float32)


def test_the_result_has_the_mel_it_was_made_of():
    mel = log_mel(vowels())
    wave = griffin_lim(mel)
    assert wave.shape == (16000,) and wave.dtype == np.float32
    loud = mel > mel.max() - 6
    assert np.abs(log_mel(wave) - mel)[loud].mean() < 0.1
    assert np.abs(log_mel(griffin_lim(mel, iterations=1)) - mel)[loud].mean() > np.abs(log_mel(wave) - mel)[loud].mean()


def test_is_deterministic():
    mel = log_mel(vowels(8000))
    np.testing.assert_array_equal(griffin_lim(mel), griffin_lim(mel))


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 4, 5, 7, 50])
def test_any_length_gives_160_samples_a_frame(frames):
    mel = log_mel(vowels(8000))[:frames]
    wave = griffin_lim(mel, iterations=2)
    assert wave.shape == (160 * frames,) and np.isfinite(wave).all()


def test_silence_stays_silent():
    wave = griffin_lim(np.full((50, 80), LOG_FLOOR, np.float32))
    assert np.abs(wave).max() < 1e-4


def test_magnitudes_are_non_negative_and_have_the_mel():
    mel = np.exp(log_mel(vowels(4800)))
    magnitude = mel_to_magnitude(mel)
    assert magnitude.shape == (30, 321) and (magnitude >= 0).all()
    np.testing.assert_allclose(magnitude @ mel_filters(), mel, rtol=0.01, atol=2e-3)  # against peaks of 10
