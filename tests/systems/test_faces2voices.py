import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.compiled import run, traced_synthesis
from tests.small_faces2voices import CLUSTERS, clips, silent, small_config
from tests.small_vocoder import filled
from v2s_jax.constants import LOG_FLOOR
from v2s_jax.errors import V2SError
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.base import System, frame_mask, normalise_mouth
from v2s_jax.systems.registry import build
from v2s_jax.training.defaults import default_config
from v2s_jax.training.paths import flatten
from v2s_jax.training.state import create_state, make_players
from v2s_jax.training.step import make_train_step

BRANCHES = {
    "content": {"content", "text_head"},
    "timbre": {"timbre"},
    "prosody": {"content", "voiced", "expression", "prosody"},
    "decoder": {"contour", "decoder"},
}


def small(**settings):
    return filled(lambda: build(small_config(**settings), Rngs(0)))


@functools.cache
def program(**settings):
    """The compiled `synthesize` in evaluation mode, its traces and the system."""
    system = evaluation_mode(small(**settings))
    assert isinstance(system, System)
    return traced_synthesis(system)


def trained(stage, steps=2, **settings):
    """The state before and after some steps of a stage, and the metrics of each."""
    system, config = small(**settings), default_config()
    config.optimizer.learning_rate = 1e-2
    players = make_players(system, system.stages()[stage], config)
    before = state = create_state(system, players, 0.0, jax.random.key(0))
    step, metrics = jax.jit(make_train_step(system, players, 0.0)), []
    for _ in range(steps):
        state, found = step(state, clips())
        metrics.append(found)
    return before, state, metrics


@functools.cache
def features():
    """What the encoder makes of the lips of `clips`, which no other setting changes."""
    silent_clips = clips()
    mask = frame_mask(jnp.asarray(silent_clips.length), silent_clips.mouth.shape[1])
    encoder = evaluation_mode(small()).encoder
    return run(encoder, video=normalise_mouth(jnp.asarray(silent_clips.mouth), 16), padding_mask=~mask)


def condition_of(system):
    """What the decoder is given by the stages behind the encoder."""
    graphdef, weights = nnx.split(system.voice)
    speak = jax.jit(lambda weights, lips, batch: nnx.merge(graphdef, weights)(lips, batch, Rngs(0)).condition)
    return speak(weights, features(), clips())


def branch(path):
    """The first name of a path below the system or its stages."""
    return path.removeprefix("voice/").split("/")[0]


def test_the_units_table_trains_where_it_is_first_read():
    system = nnx.eval_shape(lambda: build(small_config(), Rngs(0)))
    players = {stage: make_players(system, system.stages()[stage], default_config())[0] for stage in BRANCHES}
    owners = [stage for stage, player in players.items() if "voice/content/table" in player.actions]
    assert owners == ["prosody"]


@pytest.mark.parametrize("stage", [*BRANCHES, "joint"])
def test_a_stage_is_of_its_own_parts(stage):
    system = nnx.eval_shape(lambda: build(small_config(ctc_weight=0.1), Rngs(0)))
    (player,) = make_players(system, system.stages()[stage], default_config())
    assert player.name == stage
    expected = set.union(*BRANCHES.values()) if stage == "joint" else BRANCHES[stage]
    assert set(map(branch, player.actions)) == expected


def test_a_batch_is_learned_and_the_encoder_stays_to_the_bit():
    before, after, metrics = trained("joint", 25)
    old, new = flatten(before["params"]), flatten(after["params"])
    changed = {branch(path) for path in old if (old[path] != new[path]).any()}
    assert changed == set(map(branch, old)) - {"encoder"}
    first, last = metrics[0], metrics[-1]
    for name in ("units", "timbre_cosine", "pitch", "energy", "flow"):
        assert last[name] < 0.95 * first[name], name
    terms = ("units", "timbre_cosine", "timbre_l1", "voicing", "pitch", "energy", "flow")
    assert first["loss"] == pytest.approx(sum(float(first[name]) for name in terms), rel=1e-5)


def test_it_speaks_from_the_face_in_one_program_for_all_counts_and_voices():
    run, traces, system = program()
    assert system.inputs == {"mouth", "face_embedding", "expression"}
    one, two, eight = (run(silent(), system.knobs | {"evaluations": float(n)}) for n in (1, 2, 8))
    assert one.shape == (2, 24, 80) and one.dtype == jnp.float32
    assert not np.array_equal(one, two) and not np.array_equal(two, eight)
    for changes in ({"classifier_free": 3.0}, {"pitch_shift": 5.0}, {"pitch_range": 0.0}, {"energy_shift": 9.0}):
        assert np.abs(run(silent(), system.knobs | changes) - two).max() > 1e-4, changes
    assert len(traces) == 1
    np.testing.assert_allclose(run(silent(), {}), two, atol=1e-4)  # what its config says
    raised = run(silent(), system.knobs | {"energy_shift": 20.0})
    np.testing.assert_allclose(raised[0], two[0] + np.log(10), atol=1e-4)


def test_a_padded_clip_equals_the_clip_alone():
    run, _, _ = program()
    batch = silent(length=np.array([6, 4], np.int32))
    found = run(batch, {})
    parts = {name: getattr(batch, name)[1:, :4] for name in ("mouth", "expression")}
    alone = run(
        dataclasses.replace(batch, length=batch.length[1:], face_embedding=batch.face_embedding[1:], **parts), {}
    )
    np.testing.assert_allclose(found[1, :16], alone[0], atol=1e-4)
    assert (found[1, 16:] == np.float32(LOG_FLOOR)).all()


def test_what_the_face_is_and_does_is_heard():
    run, _, _ = program()
    plain = run(silent(), {})
    other = silent()
    for name in ("face_embedding", "expression", "mouth"):
        swapped = dataclasses.replace(other, **{name: getattr(other, name)[::-1].copy()})
        assert np.abs(run(swapped, {}) - plain).max() > 1e-4, name


def test_a_given_voice_takes_the_place_of_the_faces():
    run, _, system = program()
    graphdef, weights = nnx.split(system)

    def speak(weights, batch):
        model = nnx.merge(graphdef, weights)
        return model.speak(batch).speaker, model.units(batch)

    guess, units = jax.jit(speak)(weights, silent())
    assert units.shape == (2, 12) and ((0 <= units) & (units < CLUSTERS)).all()
    given = silent(face_embedding=None, speaker_embedding=np.asarray(guess))
    np.testing.assert_allclose(run(given, {}), run(silent(), {}), atol=1e-4)
    other = silent(face_embedding=None, speaker_embedding=clips().speaker_embedding)
    assert np.abs(run(other, {}) - run(silent(), {})).max() > 1e-3


@pytest.mark.parametrize(("choice", "fields"), [("speaker_from", "face_embedding"), ("prosody_from", "expression")])
def test_a_stage_may_be_left_out(choice, fields):
    run, _, system = program(**{choice: "none"})
    assert fields not in system.inputs
    assert np.isfinite(run(silent(**{fields: None}), {})).all()


def test_the_truth_is_told_in_training_alone():
    """With the true contours the stream, and so the decoder's condition, is another."""

    def condition(rate, training):
        system = small(teach={"units": 0.0, "speaker": 0.0, "prosody": rate}, drop={name: 0.0 for name in drops})
        return np.asarray(condition_of(system if training else evaluation_mode(system)))

    drops = ("content", "speaker", "prosody", "all")
    assert np.abs(condition(1.0, True) - condition(0.0, True)).max() > 1e-2
    np.testing.assert_array_equal(condition(1.0, False), condition(0.0, False))


def test_conditions_are_dropped_each_on_its_own_and_all_at_once():
    def condition(**rates):
        drop = {"content": 0.0, "speaker": 0.0, "prosody": 0.0, "all": 0.0} | rates
        system = small(drop=drop, teach={"units": 0.0, "speaker": 0.0, "prosody": 0.0})
        return np.asarray(condition_of(nnx.view(system, use_running_average=True)))

    assert not condition(content=0.999, speaker=0.999, prosody=0.999).any()
    assert not condition(all=0.999).any()
    alone = condition(speaker=0.999)
    assert not alone[..., 16:].any() and alone[..., :16].any()
    prosody, content = (condition(speaker=0.999, **{name: 0.999}) for name in ("content", "prosody"))
    np.testing.assert_allclose(prosody + content, alone, atol=1e-4)


def test_fewer_steps_are_taught_by_a_teacher_that_stays():
    before, after, metrics = trained("reflow", 12, reflow=2)
    old, new = flatten(before["params"]), flatten(after["params"])
    assert {branch(path) for path in old if (old[path] != new[path]).any()} == {"decoder"}
    assert metrics[-1]["reflow"] < 0.9 * metrics[0]["reflow"]


def test_choices_of_the_flow():
    lips = features()

    def loss(**choice):
        graphdef, weights = nnx.split(evaluation_mode(small(**choice)))

        @jax.jit
        def decoder_loss(weights, batch):
            system = nnx.merge(graphdef, weights)
            return system._decoder_loss(batch, system.voice(lips, batch, Rngs(0)), Rngs(0))

        return float(decoder_loss(weights, clips()))

    plain = loss()
    for choice in ({"coupling": "minibatch_ot"}, {"times": "logit_normal"}, {"prediction": "x_1"}, {"norm": "l1"}):
        assert 0 < abs(loss(**choice) - plain) < 10, choice


def test_settings_that_do_not_fit_are_refused():
    for changes, sentence in (
        ({"speaker_from": "both"}, "system.speaker_from is 'both': expected face, audio, none"),
        ({"drop": {"all": 1.5}}, "system.drop.all is 1.5: expected a number from 0 to 1"),
        ({"smoothing": -1.0}, "system.smoothing is -1.0: expected a number from 0 to 1"),
        ({"sampler": {"evaluations": 100}}, "system.sampler.evaluations is 100: expected 1 to sampler.most, 8"),
        ({"prediction": "x_0"}, "system.prediction is 'x_0': expected one of x_1, velocity"),
    ):
        with pytest.raises(ValueError, match=sentence.replace("expected face", "expected one of face")):
            build(small_config(**changes), Rngs(0))
    config = small_config()
    config.decoder.condition = 5
    with pytest.raises(ValueError, match="system.decoder.condition is 5: expected 272"):
        build(config, Rngs(0))


def test_embeddings_of_another_face_encoder_are_refused():
    run, _, _ = program()
    with pytest.raises(V2SError, match="face embeddings have 3 numbers, but the model takes 6: make them"):
        run(silent(face_embedding=np.ones((2, 3), np.float32)), {})
