import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.constants import LOG_FLOOR
from v2s_jax.features.filters import mel_filters, scale_mel, unscale_mel
from v2s_jax.features.mel import log_mel, log_mel_jax


def librosa_log_mel(wave):
    """The stated recipe in librosa's own words (its fmax is 8000 Hz, half the rate)."""
    mel = librosa.feature.melspectrogram(
        y=wave.astype(np.float64),
        sr=16000,
        n_fft=640,
        hop_length=160,
        power=1,
        n_mels=80,
        fmax=8000,
        pad_mode="reflect",
    )
    return np.log(np.maximum(mel, 1e-5)).T[: len(wave) // 160]


def chirp(n, seed=0):
    """A loud sweep with harmonics, some noise and a silent stretch: a wide dynamic range in one wave."""
    t = np.arange(n) / 16000
    phase = 2 * np.pi * (120 * t + 60 * t**2)
    wave = sum(np.sin(k * phase) / k for k in range(1, 12)) * 0.3
    wave += 0.003 * np.random.default_rng(seed).normal(size=n)
    wave[n // 3 : n // 2] = 0
    return wave.astype(np.float32)


@pytest.mark.parametrize("n", [640, 641, 799, 1000, 16000, 16159, 48000])
def test_equals_librosa(n):
    wave = chirp(n)
    expected = librosa_log_mel(wave)
    assert expected.shape == (n // 160, 80)
    np.testing.assert_allclose(log_mel(wave), expected, atol=1e-5)
    device = np.asarray(log_mel_jax(jnp.asarray(wave)))
    np.testing.assert_allclose(device, expected, atol=1e-3)
    audible = expected > expected.max(1, keepdims=True) - 60 * np.log(10) / 20
    np.testing.assert_allclose(device[audible], expected[audible], atol=1e-4)


def test_a_sine_peaks_in_its_bin_with_the_hand_computed_height():
    # 1000 Hz is mel 15 of 45.245 (Slaney), bin 15 / (45.245 / 81) = 26.85, so the 27th filter, index 26, is nearest.
    wave = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.float32)
    mel = log_mel(wave)
    assert (mel[4:-4].argmax(1) == 26).all()
    # A Hann window of 640 sums to 320: the sine's bin holds 0.5 * 320 / 2, its neighbours half that.
    peak = (mel_filters()[39:42, 26] * 80 * np.array([0.5, 1, 0.5])).sum()
    np.testing.assert_allclose(mel[4:-4, 26], np.log(peak), atol=1e-3)


def test_leading_dimensions_are_batches():
    waves = np.stack([chirp(3200, seed) for seed in range(6)]).reshape(2, 3, 3200)
    together = log_mel_jax(jnp.asarray(waves))
    assert together.shape == (2, 3, 20, 80)
    np.testing.assert_allclose(together[1, 2], log_mel_jax(jnp.asarray(waves[1, 2])), atol=1e-4)


def test_short_waves_have_no_frame():
    assert log_mel(np.zeros(0, np.float32)).shape == (0, 80)
    assert log_mel_jax(jnp.zeros((2, 159))).shape == (2, 0, 80)


def test_silence_is_the_floor_with_a_finite_gradient():
    assert np.all(log_mel(np.zeros(1600, np.float32)) == np.float32(LOG_FLOOR))
    gradient = jax.grad(lambda wave: log_mel_jax(wave).sum())
    assert np.isfinite(gradient(jnp.zeros(1600))).all()
    half_silent = jnp.asarray(chirp(4800))
    assert np.isfinite(gradient(half_silent)).all() and np.abs(gradient(half_silent)).max() > 0


def test_gradient_equals_finite_difference():
    wave = jnp.asarray(chirp(1600))
    direction = jnp.asarray(np.random.default_rng(1).normal(size=1600).astype(np.float32))
    slope = jnp.vdot(jax.grad(lambda w: log_mel_jax(w)[:, :20].mean())(wave), direction)
    step = 1e-4
    high, low = (log_mel(np.asarray(wave + s * direction))[:, :20].astype(float).mean() for s in (step, -step))
    np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=0.02)


def test_scaling_maps_the_stated_ends():
    ends = np.full((2, 80), np.array([[np.log(1e-5)], [2.0]]), np.float32)
    np.testing.assert_allclose(scale_mel(ends), np.full((2, 80), [[-1.0], [1.0]]), atol=1e-6)
    np.testing.assert_allclose(unscale_mel(scale_mel(ends)), ends, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(161, 3000), st.floats(0.05, 1.0), st.integers(0, 1000))
def test_gain_shifts_the_log(n, gain, seed):
    wave = np.random.default_rng(seed).normal(size=n).astype(np.float32) * 0.1
    shift = log_mel((gain * wave).astype(np.float32)) - log_mel(wave)
    np.testing.assert_allclose(shift, np.log(gain), atol=1e-3)
