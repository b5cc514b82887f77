import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.compiled import run
from tests.small_encoder import CLUSTERS, small_config, small_system
from v2s_jax import cli
from v2s_jax.data.batch import Batch
from v2s_jax.features.filterbank import stacked_filterbank
from v2s_jax.interop import load_avhubert
from v2s_jax.models.avhubert import AVHuBERT, Prediction
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.base import System, normalise_mouth
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.systems.registry import build
from v2s_jax.training.defaults import default_config
from v2s_jax.training.state import create_state, make_players
from v2s_jax.training.step import make_eval_steps, make_train_step

FRAMES = 12


def clips(lengths=(FRAMES, 9), seed=0):
    """Noise to see and hear; each of the targets goes with a brightness and a loudness."""
    rng = np.random.default_rng(seed)
    rows = len(lengths)
    targets = rng.integers(0, CLUSTERS, (rows, FRAMES))
    mouth = np.clip(40 * targets[..., None, None] + rng.integers(0, 40, (rows, FRAMES, 88, 88)), 0, 255)
    audio = rng.normal(0, 0.1, (rows, FRAMES, 640)) * (1 + targets[..., None])
    units = np.stack([targets, np.full_like(targets, 99)], -1)  # a target, and one that must not be looked at
    for row, length in enumerate(lengths):
        mouth[row, length:], audio[row, length:], units[row, length:] = 0, 0, 0
    return Batch(
        length=np.array(lengths, np.int32),
        mouth=mouth.astype(np.uint8),
        audio=audio.reshape(rows, -1).astype(np.float32),
        units=units.reshape(rows, -1).astype(np.int16),
    )


@functools.cache
def start():
    """A system, its players, their state and their compiled step."""
    config = default_config()
    config.optimizer.update({"schedule": "constant", "learning_rate": 3e-3})
    system = small_system(dropout=0.0, attention_dropout=0.0, dropout_input=0.0, layerdrop=0.0, modality_dropout=0.0)
    players = make_players(system, system.stages()["train"], config)
    state = create_state(system, players, 0.0, jax.random.key(1))
    return system, players, state, jax.jit(make_train_step(system, players, 0.0))


def test_it_is_a_system():
    system = small_system()
    assert isinstance(system, System)
    assert (system.kind, system.fields) == ("embedding", {"mouth", "audio", "units"})


@pytest.mark.parametrize("setting", [{"masking": "none"}, {"num_classes": 0}, {"final_proj": False}])
def test_an_encoder_that_cannot_be_trained_is_refused(setting):
    with pytest.raises(ValueError, match="masking, num_classes and final_proj"):
        build(small_config(**setting), Rngs(0))


def test_loss_by_hand(monkeypatch):
    probability = np.array([[[0.7, 0.1, 0.1, 0.05, 0.05], [0.2, 0.5, 0.1, 0.1, 0.1], [0.2] * 5]], np.float32)
    hidden = jnp.array([[True, False, True]])

    def predict(self, video, audio, padding_mask, rngs):
        assert audio.shape == (1, 3, 104) and padding_mask.tolist() == [[False, False, True]]
        return Prediction(jnp.log(probability), hidden, jnp.asarray(0.03), jnp.ones((1, 3, 16)))

    monkeypatch.setattr(AVHuBERT, "predict", predict)
    batch = Batch(
        length=np.array([2], np.int32),
        mouth=np.zeros((1, 3, 88, 88), np.uint8),
        audio=np.zeros((1, 1920), np.float32),
        units=np.array([[1, 99, 1, 99, 0, 99]], np.int16),
    )
    system = small_system()
    loss, metrics = system.loss(batch, Rngs(0))
    np.testing.assert_allclose(loss, -np.log(0.1) + 10 * 0.03, rtol=1e-5)  # the hidden frame that is no padding
    assert metrics["hidden_accuracy"] == 0 and metrics["shown_accuracy"] == 1
    system.shown_weight = 1.0
    loss, metrics = system.loss(batch, Rngs(0))
    np.testing.assert_allclose(metrics["entropy"], -(np.log(0.1) + np.log(0.5)) / 2, rtol=1e-5)
    np.testing.assert_allclose(loss, metrics["entropy"] + 0.3, rtol=1e-5)


def test_text_may_teach_the_features():
    system = small_system()
    section = ConfigDict(small_config().to_dict() | {"ctc_weight": 0.1})
    taught = build(section, Rngs(0))
    assert "characters" not in system.fields and "characters" in taught.fields
    batch = clips()
    batch = dataclasses.replace(batch, characters=np.pad([[3, 4], [5, 6]], ((0, 0), (0, FRAMES - 2))).astype(np.int32))
    streams = lambda: Rngs(mask=0, dropout=1)  # noqa: E731
    mouth = normalise_mouth(jnp.asarray(batch.mouth), 88)
    heard = jnp.stack([stacked_filterbank(wave, FRAMES) for wave in batch.audio])
    padding = jnp.arange(FRAMES)[None] >= batch.length[:, None]

    graphdef, state = nnx.split(taught)

    @jax.jit
    def both(state):
        taught = nnx.merge(graphdef, state)
        features = taught.encoder.predict(mouth, heard, padding, streams()).features
        expected = taught.text_head.loss(features, jnp.asarray(batch.length), jnp.asarray(batch.characters))
        return *taught.loss(batch, streams()), expected

    loss, metrics, expected = both(state)
    np.testing.assert_allclose(metrics["ctc"], expected, rtol=1e-2)
    np.testing.assert_allclose(loss, metrics["entropy"] + 10 * metrics["penalty"] + 0.1 * metrics["ctc"], rtol=1e-5)


def test_padding_changes_nothing():
    system = nnx.view(small_system(), deterministic=True, use_running_average=True)
    both = clips()
    row = slice(1, 2)
    alone = Batch(length=both.length[row], mouth=both.mouth[row, :9], audio=both.audio[row, : 9 * 640])
    encode = jax.jit(lambda batch: system.synthesize(batch))
    found = encode(both)
    assert found.shape == (2, FRAMES, 16) and jnp.isfinite(found).all() and jnp.std(found) > 0.1
    np.testing.assert_allclose(found[1, :9], encode(alone)[0], atol=1e-5)
    heard = stacked_filterbank(both.audio[0], FRAMES)
    mask = jnp.zeros((1, FRAMES), bool)
    expected = run(system.encoder, normalise_mouth(jnp.asarray(both.mouth[:1]), 88), jnp.asarray(heard[None]), mask)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)


def test_a_step_trains_everything():
    _, _, before, step = start()
    after, metrics = step(before, clips())
    after, _ = step(after, clips())
    assert metrics["finite"] and step._cache_size() == 1
    assert {"loss", "entropy", "penalty", "hidden_accuracy", "shown_accuracy"} <= metrics.keys()
    for name in ("params", "stats"):
        flat = zip(*(jax.tree_util.tree_leaves_with_path(state[name]) for state in (before, after)), strict=True)
        assert [path for (path, old), (_, new) in flat if (old == new).all()] == []


@pytest.mark.slow
def test_one_batch_is_learned():
    _, _, state, step = start()
    batch, found = clips(), []
    for _ in range(75):
        state, metrics = step(state, batch)
        found.append((float(metrics["entropy"]), float(metrics["hidden_accuracy"])))
    first, last = np.mean(found[:10], 0), np.mean(found[-25:], 0)
    assert last[0] < 0.6 * first[0] and last[1] > 0.5  # of five clusters, and what is seen instead misleads


def test_evaluation_hides_by_the_key_alone():
    _, players, state, _ = start()
    losses, _ = map(jax.jit, make_eval_steps(small_system(), players))
    one, same, other = (losses(state["params"], state["stats"], jax.random.key(k), clips()) for k in (0, 0, 1))
    assert one == same and one["loss"] != other["loss"]


def test_the_encoder_leaves_alone(tmp_path, capsys):
    system = small_system()
    config = ConfigDict({"system": small_config(), "data": {"path": "/data/talker_tokens"}})
    _, *states = nnx.split(system, nnx.Param, ...)
    save_pretrained(tmp_path / "whole", config, *map(nnx.to_pure_dict, states), card="# small\n")
    command = ["export", "--model", str(tmp_path / "whole"), "--part", "encoder", "--out", str(tmp_path / "encoder")]
    assert cli.main(command) == 0
    model, info = load_avhubert(tmp_path / "encoder")
    assert "the encoder of a avhubert_pretrain trained with v2s_jax on talker_tokens" in info["kind"]
    batch = clips(lengths=(FRAMES, FRAMES))
    video = normalise_mouth(jnp.asarray(batch.mouth), 88)[..., None]
    heard = jnp.stack([stacked_filterbank(wave, FRAMES) for wave in batch.audio])
    expected = nnx.view(system, deterministic=True, use_running_average=True).synthesize(batch)
    np.testing.assert_allclose(model(video=video, audio=heard), expected, atol=1e-4)
