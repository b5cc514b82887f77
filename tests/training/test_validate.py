import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.constants import LOG_CEILING, LOG_FLOOR
from v2s_jax.data.batch import Batch
from v2s_jax.features.mel import log_mel
from v2s_jax.training.defaults import default_config
from v2s_jax.training.validate import Spoken, intelligibility, picture, validate


def speech(seconds, seed=0):
    """Noise whose loudness changes four times a second: enough for an intelligibility measure."""
    time = np.arange(int(16000 * seconds)) / 16000
    noise = np.random.default_rng(seed).normal(size=len(time))
    return (0.1 * noise * (1.2 + np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def batch(lengths, frames=30):
    audio = np.stack([np.pad(speech(n * 0.04, n), (0, 640 * (frames - n))) for n in lengths])
    return Batch(length=np.array(lengths, np.int32), audio=audio)


def run(kind, synthesize, batches, **settings):
    config = default_config().validation
    config.update({"griffin_lim_iterations": 2, **settings})

    def losses(params, stats, key, batch):
        return {"loss": jnp.asarray(batch.length).max().astype(jnp.float32)}

    return validate(losses, synthesize, {}, {}, batches, lambda batch: batch, kind, config)


def true_sound(params, stats, key, batch):
    return jnp.asarray(batch.audio)


def true_mel(params, stats, key, batch):
    return jnp.stack([log_mel(row) for row in batch.audio])


def test_losses_count_rows_and_padding_rows_count_nothing():
    metrics, _ = run("waveform", true_sound, [batch([30, 20]), batch([10, 0])], clips=0)
    assert metrics == {"val/loss": pytest.approx((30 + 30 + 10) / 3)}


def test_the_real_sound_scores_one_and_clips_are_cut_to_their_lengths():
    metrics, clips = run("waveform", true_sound, [batch([30, 0, 25])], clips=5, shown=2)
    assert metrics["val/stoi"] == pytest.approx(1, abs=1e-4) and metrics["val/estoi"] == pytest.approx(1, abs=1e-4)
    assert [len(clip.wave) for clip in clips] == [640 * 30, 640 * 25]
    np.testing.assert_array_equal(clips[0].mel, clips[0].true_mel)


def test_mel_goes_through_griffin_lim_and_only_so_many_clips():
    metrics, clips = run("mel", true_mel, [batch([30, 30]), batch([28])], clips=2, shown=1)
    assert 0.5 < metrics["val/stoi"] < 1
    assert len(clips) == 1 and clips[0].wave.shape == (640 * 30,) and clips[0].mel.shape == (120, 80)


@pytest.mark.filterwarnings("ignore:Not enough STFT frames:RuntimeWarning")  # the case under test
def test_too_little_speech_has_no_score():
    assert intelligibility(speech(0.2), speech(0.2)) is None
    assert intelligibility(speech(1.0), speech(1.0)) == (pytest.approx(1), pytest.approx(1))


def test_a_clip_too_short_to_score_is_left_out_of_the_mean():
    metrics, _ = run("waveform", true_sound, [batch([30, 5])])
    assert metrics["val/estoi"] == pytest.approx(1, abs=1e-4)


def test_a_system_that_makes_no_speech_is_validated_by_its_losses():
    def nothing(*arguments):
        raise AssertionError("not to be asked")

    metrics, clips = run("embedding", nothing, [batch([30, 20])])
    assert metrics == {"val/loss": 30} and clips == []


def test_picture_has_the_real_mel_above_and_low_frequencies_at_the_bottom():
    true = np.full((7, 80), LOG_FLOOR, np.float32)
    true[:, 0] = LOG_CEILING
    drawn = picture(
        Spoken(np.zeros(0, np.float32), np.full((7, 80), LOG_FLOOR, np.float32), np.zeros(0, np.float32), true)
    )
    assert drawn.shape == (80 * 3 * 2 + 2, 7, 3) and drawn.dtype == np.uint8
    brightness = drawn.astype(int).sum(-1)[:, 0]
    assert brightness[237:242].min() > 600 and brightness[:237].max() < 50 and brightness[242:].max() < 50
