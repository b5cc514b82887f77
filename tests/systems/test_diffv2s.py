import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.compiled import traced_synthesis
from tests.small_diffv2s import clips, small_config
from tests.small_vocoder import filled
from v2s_jax.constants import LOG_FLOOR
from v2s_jax.features.filters import scale_mel
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.features.mel_to_filterbank import stacked_filterbank_of_mel
from v2s_jax.generative.times import stratified_times
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.base import System, stack, unstack
from v2s_jax.systems.registry import build
from v2s_jax.training.defaults import default_config
from v2s_jax.training.paths import flatten
from v2s_jax.training.state import create_state, make_players
from v2s_jax.training.step import make_train_step


def trained(stage, steps=2, **settings):
    """The state before and after some steps of a stage, and the last metrics."""
    system, config = small(**settings), default_config()
    config.optimizer.learning_rate = 1e-2
    players = make_players(system, system.stages()[stage], config)
    before = state = create_state(system, players, 0.0, jax.random.key(0))
    step = jax.jit(make_train_step(system, players, 0.0))
    for _ in range(steps):
        state, metrics = step(state, clips())
    return before, state, metrics


@pytest.mark.parametrize(("stage", "trains"), [("speaker", ("prompts", "project")), ("decoder", ("decoder",))])
def test_a_stage_trains_its_own_and_the_rest_stays_to_the_bit(stage, trains):
    before, after, metrics = trained(stage)
    assert metrics["finite"]
    for name, expected in (("stats", set()), ("params", set(trains))):
        old, new = flatten(before[name]), flatten(after[name])
        assert old and {path.split("/")[0] for path in old if (old[path] != new[path]).any()} == expected


def test_prompts_learn_to_tell_speakers_apart():
    _, _, first = trained("speaker", 1)
    _, _, later = trained("speaker", 16)
    assert later["loss"] < 0.8 * first["loss"]
    assert first["retrieval_a_g"] < 1 and later["retrieval_a_g"] == 1
    assert first["loss"] == pytest.approx(sum(float(first[name]) for name in ("v_g", "a_g", "v_a", "a_v")), rel=1e-5)


def small(sampler=(), **settings):
    config = small_config(**settings)
    config.sampler.update(dict(sampler))
    return filled(lambda: build(config, Rngs(0)))


@functools.cache
def program(decoder="mel_transformer", sampler=(), **settings):
    """The compiled `synthesize` in evaluation mode, and the calls in which it was traced."""
    system = evaluation_mode(small(sampler, decoder=decoder, **settings))
    assert isinstance(system, System)
    return traced_synthesis(system)


def silent(**changes):
    return dataclasses.replace(clips(2), audio=None, speaker_embedding=None, speaker_id=None, **changes)


@pytest.mark.parametrize("decoder", ["mel_transformer", "dit"])
def test_it_speaks_from_video_alone_in_one_program_for_all_counts(decoder):
    run, traces, system = program(decoder)
    assert system.inputs == {"mouth"}
    one, two, eight = (run(silent(), {"evaluations": float(n)}) for n in (1, 2, 8))
    assert one.shape == (2, 24, 80) and one.dtype == jnp.float32
    assert not np.array_equal(one, two) and not np.array_equal(two, eight)
    assert len(traces) == 1
    np.testing.assert_allclose(run(silent(), {}), two, atol=1e-4)  # the config's own number


def test_a_padded_clip_equals_the_clip_alone():
    run, _, _ = program()
    found = run(silent(length=np.array([6, 4], np.int32)), {})
    alone = run(silent(length=np.array([6, 4], np.int32)[1:], mouth=clips(2).mouth[1:, :4]), {})
    np.testing.assert_allclose(found[1, :16], alone[0], atol=1e-4)
    assert (found[1, 16:] == np.float32(LOG_FLOOR)).all()


@pytest.mark.parametrize("by", ["estimate", "score"])
def test_guidance_brings_the_voice_nearer_and_zero_changes_nothing(by):
    sampler = {"guidance_by": by, "guided": (0.0, 1.0), "solver": "ddim", "grid": "uniform", "evaluations": 4}
    run, traces, system = program(sampler=tuple(sampler.items()))
    plain = run(silent(), {"guidance": 0.0})
    np.testing.assert_allclose(plain, run(silent(), {}), atol=1e-5)
    guided = run(silent(), {"guidance": {"estimate": 30.0, "score": 1.0}[by]})
    assert np.isfinite(guided).all()

    @jax.jit
    def agreement(mel):
        length = jnp.asarray(silent().length)
        heard = system.hear(stacked_filterbank_of_mel(mel, length), jnp.ones((2, 6), bool))
        return jnp.sum(heard * system.see(silent()).speaker, -1)

    assert (agreement(guided) > agreement(plain) + 1e-3).all()
    assert len(traces) == 2


def test_classifier_free_guidance_leads_away_from_no_condition():
    run, traces, _ = program(drop=0.2)
    plain, one, more = (run(silent(), {"classifier_free": scale}) for scale in (0.0, 1.0, 2.0))
    two_of = 2 * np.asarray(one) - np.asarray(plain)
    assert np.abs(more - one).max() > 1e-2 and np.abs(more - two_of).max() < np.abs(one - two_of).max()
    assert len(traces) == 1


def test_without_the_speaker_the_prompts_do_not_matter():
    def spoken(prompt):
        _, _, system = program(speaker="none")
        system.prompts.video[...] = jnp.full(16, prompt)
        graphdef, weights = nnx.split(system)
        return jax.jit(lambda w, b: nnx.merge(graphdef, w).synthesize(b, Rngs(0)))(weights, silent())

    np.testing.assert_array_equal(spoken(0.3), spoken(-2.0))


def test_the_voice_of_the_true_sound():
    run, _, system = program(speaker="audio")
    assert system.inputs == {"mouth", "audio"}
    batch = dataclasses.replace(clips(2), speaker_embedding=None, speaker_id=None)
    other = dataclasses.replace(batch, audio=batch.audio[::-1].copy())
    assert np.abs(run(batch, {}) - run(other, {})).max() > 1e-3


@pytest.mark.parametrize("settings", [{}, {"steps": 0, "norm": "l2", "weighting": "p2"}])
def test_the_decoder_is_trained_on_the_error_of_clean_mel(settings):
    """With a decoder that says 0, L1 or L2 of the scaled mel over valid frames, weighted by each row's time."""
    system = small(decoder="dit", **settings)
    for name in ("kernel", "bias"):
        getattr(system.decoder.out, name)[...] *= 0
    graphdef, weights = nnx.split(evaluation_mode(system))
    batch = dataclasses.replace(clips(), length=np.array([6, 4, 0, 1], np.int32))
    loss = jax.jit(lambda w, b: nnx.merge(graphdef, w).loss(b, Rngs(0), "decoder")[0])(weights, batch)
    mel = np.abs(np.asarray(scale_mel(log_mel_jax(jnp.asarray(batch.audio)))))
    if settings:  # SNR / (1 + SNR) is alpha_bar
        times = stratified_times(Rngs(0).times(), 4)
        mel = mel**2 * np.asarray(system.path.alpha_bar(times)).reshape(4, 1, 1)
    rows = np.concatenate([mel[0, :24], mel[1, :16], mel[3, :4]])
    np.testing.assert_allclose(loss, rows.mean(), rtol=1e-4)


def test_a_condition_that_is_left_out_in_training_does_not_matter():
    def losses(system):
        graphdef, weights = nnx.split(system)
        loss = jax.jit(lambda w, b: nnx.merge(graphdef, w).loss(b, Rngs(0), "decoder")[0])
        seen = clips().mouth
        return [loss(weights, dataclasses.replace(clips(), mouth=mouth)) for mouth in (seen, seen // 2)]

    system = small(drop=1.0, decoder="dit")
    one, other = losses(system)
    assert np.isfinite(one) and one == other
    one, other = losses(evaluation_mode(system))  # in validation nothing is left out
    assert abs(one - other) > 1e-4


def test_the_loader_is_told_how_many_rows_are_of_one_speaker():
    assert nnx.eval_shape(lambda: build(small_config(utterances=2), Rngs(0))).utterances == 2


def test_stacking_keeps_the_frames_of_a_video_frame_together():
    mel = np.arange(2 * 8 * 80, dtype=np.float32).reshape(2, 8, 80)
    stacked = stack(jnp.asarray(mel))
    np.testing.assert_array_equal(stacked[1, 1], mel[1, 4:8].ravel())
    np.testing.assert_array_equal(unstack(stacked), mel)


def test_a_call_may_change_only_what_has_an_effect():
    def knobs(**settings):
        return set(nnx.eval_shape(lambda: build(small_config(**settings), Rngs(0))).knobs)

    assert knobs() == {"evaluations"}
    assert knobs(drop=0.1) == {"evaluations", "classifier_free"}
    assert knobs(sampler={"guidance_by": "score"}) == {"evaluations", "guidance"}


def test_settings_that_do_not_fit_are_refused():
    for changes, sentence in (
        ({"speaker": "both"}, "system.speaker is 'both': expected vision, audio or none"),
        ({"prediction": "x_1"}, "system.prediction is 'x_1': expected one of x_0, eps, v, score"),
        ({"process": "sine"}, "process is 'sine': expected one of linear, vp_sde, cosine"),
        ({"temperature": 0.0}, "system.temperature is 0.0: expected a number above 0"),
        ({"steps": -1}, "system.steps is -1: expected 0, for continuous time, or more"),
    ):
        with pytest.raises(ValueError, match=sentence):
            build(small_config(**changes), Rngs(0))
    for changes, sentence in (
        ({"grid": "fine"}, "system.sampler.grid is 'fine': expected one of karras"),
        ({"guidance_by": "hand"}, "system.sampler.guidance_by is 'hand': expected one of estimate, none, score"),
        ({"solver": "guess"}, "solver is 'guess'"),
        ({"eta": 1.5}, "system.sampler.eta is 1.5: expected a share from 0 to 1"),
        ({"most": 0}, "system.sampler.most is 0: expected 1 or more"),
        ({"evaluations": 0}, "system.sampler.evaluations is 0: expected 1 to sampler.most, 8"),
        ({"guided": (0.7, 0.2)}, r"system.sampler.guided is \(0.7, 0.2\): expected two times, the lesser first"),
        ({"guided": (0.0, 1.2)}, "expected two times, the lesser first, from 0 to 1"),
        ({"guided": (0.5,)}, "expected two times"),
    ):
        with pytest.raises(ValueError, match=sentence):
            small(tuple(changes.items()))
    config = small_config()
    config.decoder.condition = 5
    with pytest.raises(ValueError, match="system.decoder.condition is 5: expected 272"):
        build(config, Rngs(0))
