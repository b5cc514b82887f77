import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.compiled import traced_synthesis
from tests.small_av2a import TINY, clips, small_config
from tests.small_vocoder import filled
from v2s_jax.constants import LOG_FLOOR
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.features.filters import scale_mel
from v2s_jax.features.mel import log_mel
from v2s_jax.models.fold import fold
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.modality_norm import AUDIO, BOTH, VIDEO
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import svts
from v2s_jax.systems.audio_visual import PROCEDURES, grafts
from v2s_jax.systems.av2a import default_config
from v2s_jax.systems.base import System
from v2s_jax.systems.registry import build
from v2s_jax.training.defaults import default_config as training_config
from v2s_jax.training.paths import flatten
from v2s_jax.training.state import create_state, make_players
from v2s_jax.training.step import make_train_step

PARTS = ("frontend", "project", "conformer", "head")


def small(procedure="dropout_true", **settings):
    return filled(lambda: build(small_config(procedure, **settings), Rngs(0)))


@functools.cache
def program(procedure="dropout_true", **settings):
    """The compiled `synthesize` in evaluation mode, its traces and the system."""
    system = evaluation_mode(small(procedure, **settings))
    assert isinstance(system, System)
    return traced_synthesis(system)


def given(batch, *names):
    """A batch with these fields alone, besides its length."""
    return Batch(batch.length, **{name: getattr(batch, name) for name in names})


def rounds(count):
    return {"rounds": np.float32(count)}


@functools.cache
def features():
    """The compiled mel of rows in given states, from true sound, of an AV2A without a base."""
    system = evaluation_mode(small(base="none"))
    graphdef, weights = nnx.split(system)

    @jax.jit
    def mel(batch, heard, state):
        system = nnx.merge(graphdef, weights)
        mask = jnp.arange(batch.mouth.shape[1])[None] < jnp.asarray(batch.length)[:, None]
        return system.mel(system.features(system.see(batch, mask, state), heard, state, batch))

    return mel


def test_fields_and_inputs_follow_the_procedure():
    found = {name: nnx.eval_shape(lambda name=name: build(small_config(name), Rngs(0))) for name in PROCEDURES}
    assert {name: system.fields - {"audio"} for name, system in found.items()} == {
        "audio": set(),
        "video": {"mouth"},
        **{name: {"mouth", "draft"} for name in ("both", "dropout", "dropout_true")},
    }
    inputs = {name: set(system.inputs) for name, system in found.items()}
    assert inputs.pop("audio") == {"audio"} and set(map(frozenset, inputs.values())) == {frozenset({"mouth"})}
    for settings, inputs in (({"base": "none"}, {"mouth", "draft"}), ({"draft_source": "spoiled"}, {"mouth", "audio"})):
        system = nnx.eval_shape(lambda settings=settings: build(small_config(**({"base": "none"} | settings)), Rngs(0)))
        assert system.inputs == inputs
    spoken = nnx.eval_shape(lambda: build(small_config(speaker_embedding=True, ctc_weight=0.1), Rngs(0)))
    assert {"speaker_embedding", "characters"} <= spoken.fields and "speaker_embedding" in spoken.inputs


def test_video_alone_is_an_svts():
    """With its weights, and its statistics in every state: what `train.grafts` makes."""
    config = svts.default_config("tiny")
    config.update(TINY)
    plain = filled(lambda: build(config, Rngs(0)))
    own = small(base="none")
    for part in PARTS:
        states = nnx.to_pure_dict(nnx.state(getattr(plain, part)))
        target = nnx.to_pure_dict(nnx.state(getattr(own, part)))
        nnx.update(getattr(own, part), jax.tree.map(lambda new, old: jnp.broadcast_to(new, old.shape), states, target))
    batch = jax.tree.map(jnp.asarray, clips())
    expected = jax.jit(lambda batch: evaluation_mode(plain)(batch))(given(batch, "mouth"))

    @jax.jit
    def silent(batch):
        system, state = evaluation_mode(own), jnp.full(2, VIDEO)
        mask = jnp.arange(6)[None] < batch.length[:, None]
        heard = jnp.asarray(scale_mel(batch.draft.astype(jnp.float32)))
        return system.mel(system.features(system.see(batch, mask, state), heard, state, batch))

    found = silent(batch)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found[1, :16], expected[1, :16], atol=1e-5)


def test_a_row_knows_only_what_its_state_gives():
    batch, heard = clips(), np.random.default_rng(1).normal(size=(2, 24, 80)).astype(np.float32)
    darker = dataclasses.replace(batch, mouth=batch.mouth // 2)
    for state, sees, hears in ((VIDEO, True, False), (AUDIO, False, True), (BOTH, True, True)):
        states = np.array([state, BOTH], np.int32)
        mel = features()(batch, heard, states)
        assert (np.abs(features()(darker, heard, states) - mel)[0].max() > 1e-5) == sees
        assert (np.abs(features()(batch, heard + 1, states) - mel)[0].max() > 1e-5) == hears
    assert features()._cache_size() == 1


@pytest.mark.parametrize("procedure, settings", [("dropout_true", {}), ("both", {"base": "v2a"})])
def test_a_padded_clip_is_spoken_as_the_clip_alone(procedure, settings):
    synthesize, _, _ = program(procedure, **settings)
    both = given(clips(), "mouth")
    mel = synthesize(both, rounds(2))
    alone = synthesize(Batch(both.length[1:], both.mouth[1:, :4]), rounds(2))
    assert mel.shape == (2, 24, 80)
    np.testing.assert_allclose(mel[1, :16], alone[0], atol=1e-4)
    np.testing.assert_allclose(mel[1, 16:], LOG_FLOOR)


def test_any_number_of_rounds_is_one_program_and_each_refines_the_one_before():
    synthesize, traces, _ = program()
    refine, _, _ = program(base="none")
    batch = given(clips(), "mouth")
    before = len(traces)
    mels = [np.asarray(synthesize(batch, rounds(count))) for count in range(4)]
    assert len(traces) - before <= 1
    seen = given(clips(), "mouth")
    for earlier, later in zip(mels[:-1], mels[1:], strict=True):
        assert np.abs(earlier - later).max() > 1e-3
        found = refine(dataclasses.replace(seen, draft=earlier), rounds(1))
        np.testing.assert_allclose(found, later, atol=1e-4)
    np.testing.assert_array_equal(synthesize(batch, rounds(-3)), mels[0])


def test_rounds_of_none_are_the_draft_alone():
    own = np.asarray(program()[0](given(clips(), "mouth"), rounds(0)))
    state = np.full(2, VIDEO, np.int32)
    first = np.asarray(features()(clips(), np.zeros((2, 24, 80), np.float32), state))
    np.testing.assert_allclose(scale_mel(own[0]), first[0], atol=1e-5)

    frozen, _, system = program("both", base="v2a")
    expected = jax.jit(lambda batch: system.base.synthesize(batch))(given(clips(), "mouth"))
    np.testing.assert_allclose(frozen(given(clips(), "mouth"), rounds(0)), expected, atol=1e-4)

    records, _, _ = program(base="none")
    valid = np.arange(24)[None] < 4 * clips().length[:, None]
    kept = np.asarray(records(given(clips(), "mouth", "draft"), rounds(0)))
    np.testing.assert_allclose(kept[valid], clips().draft.astype(np.float32)[valid], atol=1e-4)


def test_a_base_that_refines_keeps_its_own_rounds():
    config = small_config("both", base="v2a")
    config.v2a = small_config("dropout", rounds=2)
    system = evaluation_mode(filled(lambda: build(config, Rngs(0))))
    batch = given(clips(), "mouth")
    found = jax.jit(lambda batch, knobs: system.synthesize(batch, Rngs(0), knobs))(batch, rounds(0))
    expected = jax.jit(lambda batch: system.base.synthesize(batch, Rngs(0)))(batch)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_without_a_draft_it_says_so():
    system = evaluation_mode(small(base="none"))
    with pytest.raises(ValueError, match="the batch has no draft"):
        system.loss(given(clips(), "mouth", "audio"), Rngs(0))


def test_true_sound_can_be_spoiled():
    synthesize, _, system = program("both", draft_source="spoiled", base="none")
    assert system.knobs == {"rounds": 1.0, "snr": 1000.0, "gap": 0.0} and "draft" not in system.fields
    batch = given(clips(), "mouth", "audio")
    kept = np.asarray(synthesize(batch, rounds(0)))
    np.testing.assert_allclose(kept[0], log_mel(batch.audio[0]), atol=2e-3)
    np.testing.assert_allclose(kept[1, :16], log_mel(batch.audio[1, : 4 * 640]), atol=2e-3)  # whatever stands behind
    middle = {"snr": np.float32(5), "gap": np.float32(0.2)}
    validated = jax.jit(lambda batch: system.synthesize(batch, Rngs(0)))(batch)
    np.testing.assert_allclose(validated, synthesize(batch, rounds(1) | middle), atol=1e-4)
    noisy = np.asarray(synthesize(batch, rounds(0) | {"snr": np.float32(0), "gap": np.float32(0)}))
    assert np.abs(noisy - kept)[0].mean() > 0.1


def test_folded_for_inference_it_is_the_same():
    synthesize, _, system = program()
    folded = fold(system)
    assert folded.conformer.blocks[0].conv.depthwise_norm.mean.shape == (3, 8)  # as it was
    batch = given(clips(), "mouth")
    found = jax.jit(lambda batch: folded.synthesize(batch, Rngs(0), {"rounds": 1.0}))(batch)
    np.testing.assert_allclose(found, synthesize(batch, rounds(1)), atol=1e-3)


def training(procedure, **settings):
    """The state before training, and a compiled step."""
    system, config = small(procedure, dropout=0.0, **settings), training_config()
    config.optimizer.learning_rate = 3e-3
    players = make_players(system, system.stages()["train"], config)
    return create_state(system, players, 0.0, jax.random.key(0)), jax.jit(make_train_step(system, players, 0.0))


@pytest.mark.parametrize(
    "procedure, settings, moving",
    [
        ("audio", {}, {AUDIO}),
        (
            "dropout_true",
            {"modality_dropout": {"video": 0.5, "audio": 0.5, "ramp": 3}, "tempo": (0.9, 1.1)},
            {VIDEO, AUDIO, BOTH},
        ),
    ],
)
def test_a_batch_is_learnt_and_moves_statistics_of_its_own(procedure, settings, moving):
    start, train = training(procedure, **settings)
    batch = clips() if "audio" != procedure else given(clips(), "audio")
    state, losses = start, []
    for _ in range(8):
        state, metrics = train(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    old, new = flatten(start["stats"]), flatten(state["stats"])
    mean = "conformer/blocks/0/conv/depthwise_norm/mean"
    changed = [which for which in range(3) if (old[mean][which] != new[mean][which]).any()]
    assert set(changed) == moving
    if procedure == "dropout_true":
        assert float(state["stats"]["drop"]["steps"]) == 3


@pytest.mark.parametrize("procedure, settings", [("video", {}), ("both", {}), ("both", {"draft_source": "spoiled"})])
def test_the_other_procedures_have_a_loss(procedure, settings):
    """Traced and not compiled: what it computes is the same program's as above."""
    base = {"base": "none"} if settings else {}
    system = nnx.eval_shape(lambda: build(small_config(procedure, tempo=(0.9, 1.1), **settings, **base), Rngs(0)))
    graphdef, state = nnx.split(system)
    loss, metrics = jax.eval_shape(
        lambda state, batch: nnx.merge(graphdef, state, copy=True).loss(batch, Rngs(0)),
        state,
        given(clips(), *system.fields),
    )
    assert loss.shape == () and set(metrics) == {"l1", "spectral_convergence"}


def test_a_base_does_not_train():
    system = nnx.eval_shape(lambda: build(small_config("both"), Rngs(0)))
    (player,) = make_players(system, system.stages()["train"], training_config())
    paths = set(flatten(nnx.to_pure_dict(nnx.state(system))))
    assert paths - set(player.actions) == {path for path in paths if path.startswith("base/")} != set()


def test_audio_only_rows_hear_the_truth_if_the_procedure_says_so():
    """With all rows audio only, the loss depends on the draft in one procedure and not in the other."""
    losses = {}
    for procedure in ("dropout", "dropout_true"):
        system = small(procedure, base="none", dropout=0.0, modality_dropout={"video": 0.0, "audio": 1.0})
        loss = jax.jit(lambda batch, system=system: nnx.clone(system).loss(batch, Rngs(0))[0])
        other = dataclasses.replace(clips(), draft=clips().draft[::-1] / 2)
        losses[procedure] = float(loss(clips())), float(loss(other))
    assert losses["dropout"][0] != losses["dropout"][1]
    assert losses["dropout_true"][0] == losses["dropout_true"][1] == pytest.approx(losses["dropout_true"][0])


def test_a_batch_in_which_nothing_is_seen_does_no_harm():
    graphdef, params, rest = nnx.split(
        small(base="none", modality_dropout={"video": 0.0, "audio": 1.0}), nnx.Param, ...
    )

    @jax.jit
    def slopes(params, rest, batch):
        def loss(params):
            system = nnx.merge(graphdef, params, rest, copy=True)
            return system.loss(batch, Rngs(0))[0], nnx.state(system, nnx.BatchStat)

        return jax.grad(loss, has_aux=True)(params)

    gradients, stats = slopes(params, rest, clips())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, stats)))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(nnx.to_pure_dict(gradients)["frontend"]))


def test_what_is_exported_has_no_count_of_steps():
    config = small_config(modality_dropout={"ramp": 5})
    system = nnx.eval_shape(lambda: build(config, Rngs(0)))
    section, left = system.handed_on(config)
    assert left == {"drop"} and section.modality_dropout.ramp == 0 and config.modality_dropout.ramp == 5
    assert not jax.tree.leaves(nnx.state(nnx.eval_shape(lambda: build(section, Rngs(0))).drop))


@pytest.mark.parametrize(
    "procedure, settings, why",
    [
        ("both", {"base": "own"}, "system.base is 'own', but .*never trains on video alone"),
        ("dropout", {"modality_dropout": {"video": 0.0}}, "never trains on video alone"),
        ("video", {"base": "own"}, "never trains"),
        ("audio", {"base": "v2a"}, "makes no use of drafts"),
        ("dropout", {"draft_source": "spoiled"}, "makes no use of drafts"),
        ("dropout", {"rounds": -2}, "system.rounds is -2: expected a number from 0 to 1000"),
        ("dropout", {"draft_source": "web"}, "system.draft_source is 'web': expected one of records, spoiled"),
    ],
)
def test_choices_that_cannot_be_had_are_refused(procedure, settings, why):
    with pytest.raises((ValueError, V2SError), match=why):
        build(small_config(procedure, **settings), Rngs(0))


def test_an_unknown_procedure_is_named_and_grafts_are_entries():
    with pytest.raises(ValueError, match="no procedure 'all': expected one of audio, video, both"):
        default_config("tiny", "all")
    assert grafts("runs/v2a", ("head",)) == (("runs/v2a", "head", "head"),)
