import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.small_model import small_config, small_weights
from tests.synthesis.echo import OVERLAP, WINDOW, Echo, Hiss, Tunable, echo, expected
from v2s_jax.data.schema import Record
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.features.mel import log_mel
from v2s_jax.generative.noise import frame_noise, row_keys
from v2s_jax.models.rngs import Rngs
from v2s_jax.synthesis import scratch
from v2s_jax.synthesis.buckets import padded_mouths
from v2s_jax.synthesis.speech import real_time_factor
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.synthesis.vocoder import CHUNK, sharpen
from v2s_jax.synthesis.wholes import long_log_mel
from v2s_jax.systems.pretrained import assemble


def test_windows_sample_from_one_noise(make_clip):
    long, short = (echo(kind=Hiss)(make_clip(frames)).log_mel for frames in (100, 20))
    np.testing.assert_array_equal(long[:80], short)
    keys = row_keys(Rngs(jax.random.key(0)).noise(), jnp.zeros(1, jnp.int32))
    whole = np.asarray(frame_noise(keys, (100, 320))(0))
    np.testing.assert_allclose(long, whole.reshape(400, 80), atol=1e-6)


@pytest.mark.parametrize("frames", [1, 24, 25, 26, 40, 41, 60, 61, 200])
def test_windows_and_buckets_change_nothing(make_clip, frames):
    clip = make_clip(frames)
    speech = echo()(clip)
    assert speech.log_mel.shape == (4 * frames, 80)
    assert speech.waveform.shape == (640 * frames,) and speech.waveform.dtype == np.float32
    assert speech.sample_rate == 16000 and speech.seconds == frames / 25
    np.testing.assert_allclose(speech.log_mel[:, 3], np.repeat(expected(clip), 4), atol=1e-5)
    assert speech.clip is clip


def test_the_vocoder_hears_the_contrast_asked_for(make_clip):
    clip = make_clip(30)
    plain, sharp = (echo(contrast=contrast, reach=0)(clip) for contrast in (1.0, 1.1))
    np.testing.assert_allclose(sharp.log_mel, sharpen(plain.log_mel, 1.1), atol=1e-5)
    np.testing.assert_allclose(sharp.waveform, sharp.log_mel[:, 0].repeat(160))


def test_a_system_that_listens_hears_each_window_of_a_record_or_clip(make_clip):
    class Repeat(Echo):
        inputs = frozenset({"audio"})

        def synthesize(self, batch, rngs, sampler=None):
            loudest = batch.audio.reshape(len(batch.audio), -1, 160).max(-1)
            return loudest[..., None] * jnp.ones(80)[None, None]

    frames = 100
    audio = np.arange(640 * frames, dtype=np.float32) / 64000
    record = Record("r", frames, mouth=np.zeros((frames, 96, 96), np.uint8), audio=audio)
    synth = echo(kind=Repeat, fields=("mouth", "audio"))
    np.testing.assert_allclose(synth.synthesize_record(record).log_mel[:, 0], audio[159::160], atol=1e-6)
    with pytest.raises(BadClip, match="r: has no audio, which the echo model needs"):
        synth.synthesize_record(dataclasses.replace(record, audio=None))
    clip = dataclasses.replace(make_clip(frames), audio=audio)
    np.testing.assert_allclose(synth(clip).log_mel[:, 0], audio[159::160], atol=1e-6)
    with pytest.raises(BadClip, match="noise.mp4: has no audio, which the echo model needs"):
        synth(dataclasses.replace(clip, audio=None))


def test_a_sampler_can_be_set_without_another_program(make_clip):
    clip = make_clip(30)
    plain, tuned = echo(kind=Tunable), echo(kind=Tunable, sampler={"gain": 0.25})
    np.testing.assert_allclose(plain(clip).log_mel, 2 * tuned(clip).log_mel, atol=1e-6)
    np.testing.assert_allclose(plain(clip).log_mel[:, 0], 0.5 * echo()(clip).log_mel[:, 0], atol=1e-6)
    assert plain.fingerprint() != tuned.fingerprint()
    with pytest.raises(V2SError, match="this model's sampler has no 'again': it knows gain"):
        echo(kind=Tunable, sampler={"again": 1.0})
    for value in (3.0, -0.5, float("nan")):
        with pytest.raises(V2SError, match="this model's sampler has gain = .*: expected a number from 0 to 2"):
            echo(kind=Tunable, sampler={"gain": value})
    with pytest.raises(V2SError, match="this model's sampler has no 'gain': it knows none"):
        echo(sampler={"gain": 1.0})


def test_waveform_systems(make_clip):
    clip = make_clip(100)
    speech = echo(output="waveform")(clip)
    np.testing.assert_allclose(speech.waveform, np.repeat(expected(clip), 640) / 10, atol=1e-6)
    assert speech.log_mel.shape == (400, 80)


def test_louder_than_full_scale_is_turned_down_not_clipped(make_clip):
    wave = echo(output="waveform", reach=30)(make_clip(30)).waveform
    assert abs(wave).max() == 1
    assert len(np.unique(wave)) == 30


def test_batch_equals_one_by_one_and_compiles_a_known_number_of_times(make_clip):
    clips = [make_clip(frames, seed) for seed, frames in enumerate([10, 200, 30, 40, 12, 41])]
    together, alone = echo(batch_size=4), echo()
    speeches = together.batch(clips)
    for speech, clip in zip(speeches, clips, strict=True):
        np.testing.assert_allclose(speech.log_mel, alone(clip).log_mel, atol=1e-6)
        assert speech.clip is clip
    assert together.network.rungs == (25, 38, 40)
    assert together.network.compilations == alone.network.compilations == 3
    together.batch(clips[::-1])
    assert together.network.compilations == 3


def test_a_long_clip_is_never_whole_in_the_network_or_the_vocoder(make_clip):
    synth, seen = echo(), []
    short = synth.vocoder
    synth.vocoder = lambda log_mel: seen.append(len(log_mel)) or short(log_mel)
    clip = make_clip(2000)
    speech = synth(clip)
    assert len(speech.waveform) == 640 * 2000
    np.testing.assert_allclose(speech.log_mel[:, 3], np.repeat(expected(clip), 4), atol=1e-5)
    assert {frames for frames, _ in synth.network._programs.keys} == {WINDOW}
    assert len(seen) == 4 and max(seen) < 2.5 * CHUNK


def test_records(make_clip):
    clip = make_clip(30)
    synth = echo()
    record = Record(id="s1/a", n_frames=30, mouth=clip.mouth)
    np.testing.assert_array_equal(synth.synthesize_record(record).waveform, synth(clip).waveform)
    with pytest.raises(V2SError, match="s1/a: .*without its mouth crops"):
        synth.synthesize_record(Record(id="s1/a", n_frames=30))


def test_mels_of_records_are_the_networks_own(make_clip):
    records = [Record(str(frames), frames, mouth=make_clip(frames, frames).mouth) for frames in (30, 100)]
    for kind in ("mel", "waveform"):
        synth = echo(contrast=2.0, output=kind)
        for record, mel in zip(records, synth.mels(records), strict=True):
            expected = echo(output=kind).synthesize_record(record)  # without the contrast
            heard = expected.log_mel if kind == "mel" else log_mel(expected.waveform)
            assert mel.shape == (4 * record.n_frames, 80)
            np.testing.assert_allclose(mel, heard, atol=1e-4)


class Spelling(Echo):
    """Names each half frame by the level of its frame."""

    def units(self, batch):
        level = batch.mouth.astype(jnp.float32).mean((2, 3))
        return jnp.repeat(jnp.round(level).astype(jnp.int32), 2, axis=1)


def test_units_of_a_long_clip_are_never_mixed(make_clip):
    clip = make_clip(100)
    config = ConfigDict({"system": {"name": "echo"}, "synthesis": {"window": WINDOW, "overlap": OVERLAP}})
    synth = Synthesizer(config, Spelling(), units=True)
    synth.vocoder = lambda log_mel: np.repeat(log_mel[:, 0], 160)
    units = synth(clip).units
    assert units.dtype == np.int16
    np.testing.assert_array_equal(units, np.repeat(np.round(clip.mouth[:, 4:92, 4:92].mean((1, 2))), 2))
    assert echo()(clip).units is None
    with pytest.raises(V2SError, match="this Echo model has no units inside"):
        Synthesizer(config, Echo(), units=True)


def test_arrays_in_waveforms_out(make_clip):
    clips = [make_clip(30, 1), make_clip(100, 2)]
    synth = echo(batch_size=2, fields=("mouth", "face"))
    waves = synth.arrays([clip.mouth for clip in clips], [clip.faces for clip in clips])
    for wave, clip in zip(waves, clips, strict=True):
        np.testing.assert_array_equal(wave, synth(clip).waveform)
    with pytest.raises(BadClip, match="clip 0: has no face"):
        synth.arrays([clips[0].mouth])


@pytest.mark.parametrize("output", ["mel", "waveform"])
def test_what_grows_with_a_clip_is_kept_in_files(make_clip, monkeypatch, output):
    clip, synth = make_clip(400), echo(output=output, contrast=1.1)
    expected = synth(clip)
    monkeypatch.setattr(scratch, "LARGE", 10_000)
    monkeypatch.setattr(scratch, "_BLOCK", 5_000)
    speech = synth(clip)
    assert speech.waveform.base is not None
    np.testing.assert_array_equal(speech.waveform, expected.waveform)
    np.testing.assert_array_equal(speech.log_mel, expected.log_mel)


def test_the_mel_of_a_long_waveform_is_computed_in_parts():
    wave = np.random.default_rng(0).normal(size=640 * 25 * 150).astype(np.float32) / 10
    np.testing.assert_allclose(long_log_mel(wave), log_mel(wave), atol=1e-3)


class Refining(Echo):
    """Gives the draft back, a little louder."""

    inputs = frozenset({"mouth", "draft"})

    def synthesize(self, batch, rngs, sampler=None):
        return batch.draft.astype(jnp.float32) + 1


def test_drafts_of_records_are_given_to_models_that_refine(make_clip):
    draft = np.random.default_rng(0).uniform(-9, 0, (400, 80)).astype(np.float16)
    record = Record("r", 100, mouth=make_clip(100).mouth, draft=draft)
    synth = echo(kind=Refining, fields=("mouth", "draft"))
    np.testing.assert_allclose(synth.synthesize_record(record).log_mel, draft.astype(np.float32) + 1, atol=1e-4)
    with pytest.raises(BadClip, match="r: has no draft, which the echo model needs"):
        synth.synthesize_record(dataclasses.replace(record, draft=None))


def test_empty_clip(make_clip):
    with pytest.raises(BadClip, match="noise.mp4: has no mouth"):
        echo()(make_clip(0))


def test_output_that_is_not_finite(make_clip):
    synth = echo(fields=("mouth", "speaker_embedding"))
    with pytest.raises(BadClip, match="not finite"):
        synth(make_clip(5), speaker=np.full(256, np.nan, np.float32))


def test_threads_share_one_synthesizer(make_clip):
    clips = [make_clip(frames, seed) for seed, frames in enumerate([20, 30, 70, 20, 30, 70])]
    synth, results = echo(), {}

    def work(index):
        results[index] = synth(clips[index]).log_mel

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = echo()
    for index, clip in enumerate(clips):
        np.testing.assert_array_equal(results[index], alone(clip).log_mel)
    assert synth.network.compilations == 3


def test_padding_does_not_leak_into_a_real_system(make_clip):
    """The system's own output on exactly the clip's frames, against that from a padded batch with other rows."""
    config = small_config()
    system = assemble(config, *small_weights(config), "here")
    synth = Synthesizer(config, system, batch_size=3)
    clips = [make_clip(30, 1), make_clip(38, 2)]
    speeches = synth.batch(clips)
    alone = jax.jit(lambda batch: system.synthesize(batch))(padded_mouths([clips[0].mouth], 1, 30))[0]
    np.testing.assert_allclose(speeches[0].log_mel, alone, atol=2e-5)
    assert synth.network.compilations == 1


def test_fingerprint_changes_with_weights_settings_and_seed():
    config = small_config()
    params, stats = small_weights(config)
    system = assemble(config, params, stats, "a")
    prints = {Synthesizer(config, system).fingerprint() for _ in range(2)}
    assert len(prints) == 1
    prints.add(Synthesizer(config, system, seed=1).fingerprint())
    config.synthesis.griffin_lim_iterations = 5
    prints.add(Synthesizer(config, system).fingerprint())
    params["head"]["bias"] = params["head"]["bias"] + 1
    prints.add(Synthesizer(config, assemble(config, params, stats, "a")).fingerprint())
    assert len(prints) == 4


def test_real_time_factor_leaves_compilation_out():
    assert real_time_factor({"compile": 100.0, "network": 1.0, "vocoder": 0.5}, 3.0) == 0.5


def test_timings_name_the_stages(make_clip):
    synth = echo()
    first, second = synth(make_clip(30)).timings, synth(make_clip(30)).timings
    assert list(first) == ["compile", "network", "vocoder"]
    assert list(second) == ["network", "vocoder"]
