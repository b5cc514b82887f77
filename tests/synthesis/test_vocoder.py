import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.constants import LOG_FLOOR
from v2s_jax.errors import V2SError
from v2s_jax.features.mel import log_mel
from v2s_jax.synthesis.defaults import default_config
from v2s_jax.synthesis.vocoder import CONTEXT, Vocoder, longest_chunk, make_vocoder, quiet_windows, sharpen, vocode


def first_bin(mel):
    """An identity of a vocoder: the first bin, held for a hop."""
    return np.repeat(mel[:, 0], 160)


def speech_like(seconds, seed=0):
    """Tones with a pause after each second."""
    t = np.arange(int(16000 * seconds)) / 16000
    rng = np.random.default_rng(seed)
    tone = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) / k for k, f in enumerate((140, 280, 420, 1260), 1))
    return (0.2 * tone * (np.modf(t)[0] < 0.8)).astype(np.float32)


@given(st.integers(1, 900), st.integers(100, 300))
@settings(deadline=None, max_examples=100)
def test_chunks_change_nothing_of_a_vocoder_without_memory(frames, chunk):
    mel = np.random.default_rng(frames).normal(size=(frames, 80)).astype(np.float32)
    for window in quiet_windows(mel, chunk):
        assert 0 < window.stop - window.start <= 2 * chunk + 2 * CONTEXT
    np.testing.assert_array_equal(vocode(first_bin, mel, chunk), first_bin(mel))


def test_chunks_change_nothing_of_a_vocoder_that_hears_half_a_second():
    mel = np.random.default_rng(0).normal(size=(700, 80)).astype(np.float32)

    def blurred(mel):
        return np.repeat(np.convolve(mel[:, 0], np.ones(2 * CONTEXT - 3), mode="same"), 160)

    np.testing.assert_allclose(vocode(blurred, mel, 200), blurred(mel), atol=1e-4)


def test_joints_lie_in_pauses():
    mel = log_mel(speech_like(9))
    windows = quiet_windows(mel, 300)
    assert len(windows) == 3
    for window in windows[1:]:
        assert 80 <= window.keep_start % 100 <= 99


def test_a_chunk_upside_down_is_turned():
    calls = []

    def fickle(mel):
        calls.append(len(mel))
        return first_bin(mel) * (-1) ** len(calls)

    mel = np.random.default_rng(0).normal(size=(700, 80)).astype(np.float32)
    np.testing.assert_array_equal(vocode(fickle, mel, 200), -first_bin(mel))
    assert len(calls) == 4


def test_griffin_lim_in_chunks_neither_clicks_nor_drifts():
    wave = speech_like(8)
    mel = log_mel(wave)
    config = default_config()
    config.update({"vocoder": "griffin_lim", "griffin_lim_iterations": 16})
    vocoder = make_vocoder(config)
    whole, chunked = vocode(vocoder, mel), vocode(vocoder, mel, 200)
    assert isinstance(vocoder, Vocoder)
    assert len(whole) == len(chunked) == len(wave)
    # No drift: the mel of both is that of the original, equally well, everywhere.
    errors = [abs(log_mel(w) - mel)[20:-20].mean(1) for w in (whole, chunked)]
    assert errors[1].mean() < 1.15 * errors[0].mean()
    # No click: the sample-to-sample steps near joints are within those elsewhere.
    joints = [160 * window.keep_start for window in quiet_windows(mel, 200)[1:]]
    steps = abs(np.diff(chunked))
    assert len(joints) == 3
    assert max(steps[joint - 200 : joint + 600].max() for joint in joints) < 1.05 * abs(np.diff(whole)).max()


def test_an_absurd_mel_stays_finite():
    assert np.isfinite(make_vocoder(default_config())(np.full((20, 80), 300, np.float32))).all()


def test_unknown_vocoder():
    config = default_config()
    config.vocoder = "theremin"
    with pytest.raises(V2SError, match="theremin"):
        make_vocoder(config)


def test_contrast_spreads_each_bin_about_its_mean_and_keeps_the_floor():
    mel = np.random.default_rng(0).normal(-3, 1, (40, 80)).astype(np.float32)
    sharp = sharpen(mel, 1.3)
    np.testing.assert_allclose(sharp.std(0), 1.3 * mel.std(0), rtol=1e-4)
    np.testing.assert_allclose(sharp.mean(0), mel.mean(0), atol=1e-5)
    assert sharp.dtype == np.float32 and sharpen(mel, 1.0) is mel
    assert sharpen(mel - 8, 2.0).min() == np.float32(LOG_FLOOR)


@given(st.integers(1, 20000), st.integers(100, 2000))
@settings(deadline=None, max_examples=50)
def test_no_chunk_is_longer_than_foretold(frames, chunk):
    mel = np.random.default_rng(frames).normal(size=(frames, 1)).astype(np.float32).repeat(80, 1)
    assert max(window.stop - window.start for window in quiet_windows(mel, chunk)) <= longest_chunk(frames, chunk)
