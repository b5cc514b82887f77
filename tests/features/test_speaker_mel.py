import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from v2s_jax.features.filters import mel_filters
from v2s_jax.features.speaker_mel import (
    normalise_volume,
    partial_starts,
    partials,
    speaker_mel,
    speaker_mel_jax,
    trim_silence,
    warped_filters,
)


def noise(n, seed=0):
    return (0.1 * np.random.default_rng(seed).normal(size=n)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 159, 160, 400, 16000, 25600, 30001])
def test_mel_equals_librosas(n):
    wave = noise(n)
    padded = np.pad(wave.astype(np.float64), 200)  # librosa warns when it has to pad a very short wave
    expected = librosa.feature.melspectrogram(y=padded, sr=16000, n_fft=400, hop_length=160, n_mels=40, center=False).T
    found = speaker_mel(wave)
    assert found.shape == (1 + n // 160, 40) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(speaker_mel_jax(jnp.asarray(wave)), expected, rtol=1e-4, atol=1e-6)


def test_mel_takes_leading_dimensions_and_has_a_gradient_at_silence():
    waves = jnp.asarray(np.stack([noise(3200, seed) for seed in range(6)]).reshape(2, 3, 3200))
    mel = speaker_mel_jax(waves)
    assert mel.shape == (2, 3, 21, 40)
    np.testing.assert_allclose(mel[1, 2], speaker_mel_jax(waves[1, 2]), rtol=1e-5)
    assert np.isfinite(jax.grad(lambda wave: speaker_mel_jax(wave).sum())(jnp.zeros(800))).all()


def starts(n_frames, step, n_samples):
    """The published rule, step by step: slices at every `step` frames, the last one dropped if it is too empty."""
    found = list(range(0, max(1, n_frames - 160 + step + 1), step))
    if len(found) > 1 and (n_samples - found[-1] * 160) / (160 * 160) < 0.75:
        found.pop()
    return found


@pytest.mark.parametrize(
    "n_samples, expected",
    [
        (0, [0]),
        (100, [0]),  # shorter than a partial: one, whatever its coverage
        (25600, [0]),  # the one at 77 would be covered to 52 %
        (31519, [0]),  # one sample short of 75 % of the partial at 77
        (31520, [0, 77]),
        (48000, [0, 77, 154]),
        (80000, [0, 77, 154, 231, 308]),
    ],
)
def test_partials_start_where_the_published_rule_says(n_samples, expected):
    assert partial_starts(n_samples).tolist() == expected
    assert starts(int(np.ceil((n_samples + 1) / 160)), 77, n_samples) == expected


def test_partials_at_another_rate_and_coverage():
    assert partial_starts(48000, rate=2.0, min_coverage=0.5).tolist() == [0, 50, 100, 150]
    assert partial_starts(48000, rate=0.625).tolist() == [0, 160]


def test_partials_are_slices_of_the_whole_mel_and_silent_beyond_the_end():
    wave = noise(31520)
    found, whole = partials(wave), speaker_mel(wave)
    assert found.shape == (2, 160, 40)
    np.testing.assert_array_equal(found[0], whole[:160])
    np.testing.assert_array_equal(found[1, :119], whole[77:196])
    assert found[1, 119:121].max() > 0  # frames that reach back over the end
    assert not found[1, 122:].any()


def test_a_quiet_wave_is_brought_to_30_db_below_full_scale_and_a_loud_one_left():
    quiet = 0.001 * np.sin(np.arange(16000) / 5).astype(np.float32)
    assert 20 * np.log10(np.sqrt(np.mean(normalise_volume(quiet) ** 2))) == pytest.approx(-30, abs=1e-3)
    np.testing.assert_array_equal(normalise_volume(100 * quiet), 100 * quiet)
    assert not normalise_volume(np.zeros(100, np.float32)).any()
    assert len(normalise_volume(np.zeros(0, np.float32))) == 0


def test_long_silences_go_and_short_ones_stay():
    """A second of silence around half a second of sound with a gap of 90 ms: smoothing and margins as published."""
    sound = noise(480 * 20)
    sound[480 * 8 : 480 * 11] *= 0.001
    quiet = 0.0001 * np.ones(480 * 33, np.float32)
    # Windows 33 to 52 sound but for 41 to 43. One counts when 5 of the 8 from 3 before it to 4 after it sound: 33 to
    # 51, the gap included. Then 3 more on either side.
    whole = np.concatenate([quiet, sound, quiet])
    np.testing.assert_array_equal(trim_silence(whole), whole[480 * 30 : 480 * 55])


def test_silence_and_very_short_waves_are_left_whole():
    for wave in (np.zeros(4800, np.float32), noise(300), np.zeros(0, np.float32)):
        np.testing.assert_array_equal(trim_silence(wave), wave)


def test_filters_warped_by_one_are_the_filters():
    np.testing.assert_allclose(warped_filters(jnp.ones(1))[0], mel_filters(400, 40), atol=1e-6)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_warped_tone_is_heard_at_a_multiple_of_its_frequency(factor):
    """A tone of 2000 Hz through warped filters gives what one of 2000 Hz times the factor gives through plain ones."""
    time = np.arange(16000) / 16000
    tones = [jnp.asarray(np.sin(2 * np.pi * 2000 * f * time), jnp.float32) for f in (1.0, factor)]
    warped = speaker_mel_jax(tones[0], warped_filters(jnp.array([factor]))[0])[20]
    plain = speaker_mel_jax(tones[1])[20]
    centres = np.arange(40)
    assert float((warped * centres).sum() / warped.sum()) == pytest.approx(
        float((plain * centres).sum() / plain.sum()), abs=0.15
    )


def test_warping_keeps_the_top_where_it_is_and_hears_everything():
    filters = np.asarray(warped_filters(jnp.array([0.8, 1.25])))
    assert (filters.sum(1) > 0).all()  # no band falls silent
    plain = mel_filters(400, 40)
    np.testing.assert_allclose(filters[:, -1], np.stack([plain[-1]] * 2), atol=1e-6)
