import functools

import jax
import numpy as np
import pytest
from flax import nnx

from tests.small_vocoder import small_config, small_system, tones
from v2s_jax.data.batch import Batch
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import hifigan
from v2s_jax.systems.base import System
from v2s_jax.systems.registry import build
from v2s_jax.training.defaults import default_config
from v2s_jax.training.state import create_state, make_players
from v2s_jax.training.step import make_eval_steps, make_train_step


@functools.cache
def start(stage):
    """A system, its players, their state and their compiled step."""
    config = default_config()
    config.system = small_config(spectrum_weight=2.0)
    config.optimizer.update({"schedule": "constant", "learning_rate": 2e-3, "b1": 0.8, "b2": 0.99})
    system = small_system(spectrum_weight=2.0)
    players = make_players(system, system.stages()[stage], config)
    state = create_state(system, players, 0.0, jax.random.key(1))
    return system, players, state, jax.jit(make_train_step(system, players, 0.0))


def loss_of(system, player, batch, train=False):
    graphdef, state = nnx.split(system if train else nnx.view(system, deterministic=True, use_running_average=True))
    return jax.jit(lambda s, b: nnx.merge(graphdef, s).loss(b, Rngs(0), player=player))(state, batch)


def test_it_is_a_system():
    system = small_system()
    assert isinstance(system, System)
    assert (system.kind, system.fields) == ("waveform", {"audio"})


@pytest.mark.parametrize(("name", "value"), [("upsample_rates", (10, 8)), ("num_mels", 100)])
def test_a_generator_of_another_mel_is_refused(name, value):
    config = small_config()
    config.generator[name] = value
    with pytest.raises(ValueError, match="160"):
        build(config, Rngs(0))


def test_losses_by_hand():
    system = small_system(spectrum_weight=10.0)
    batch = tones()
    main, metrics = loss_of(system, "main", batch)
    np.testing.assert_allclose(main, 45 * metrics["mel"] + 10 * metrics["spectrum"], rtol=1e-5)
    loss, metrics = loss_of(system, "generator", batch)
    np.testing.assert_allclose(loss, main + 2 * metrics["features"] + metrics["adversarial"], rtol=1e-5)
    # Verdicts of untrained critics are near 0: each of the three then costs 1 for a real wave, nothing for a made one.
    loss, metrics = loss_of(system, "critic", batch)
    np.testing.assert_allclose(loss, 3 * (metrics["real"] + metrics["fake"]), rtol=1e-5)
    assert 0.3 < metrics["real"] < 2 and metrics["fake"] < 0.5


def test_a_perfect_copy_costs_nothing_but_the_verdicts(monkeypatch):
    system = small_system(spectrum_weight=1.0)
    monkeypatch.setattr(hifigan.HiFiGAN, "__call__", lambda self, audio, length: audio)
    loss, metrics = loss_of(system, "generator", tones())
    assert metrics["mel"] == 0 and metrics["features"] == 0 and metrics["spectrum"] < 1e-3
    np.testing.assert_allclose(loss, metrics["adversarial"] + metrics["spectrum"], rtol=1e-6)


def test_padding_changes_neither_the_sound_nor_the_losses_of_the_generator():
    system = small_system(spectrum_weight=1.0)
    batch = tones(rows=1, frames=4)
    # A frame of zeros at the end of the clip itself, so that no analysis window reaches beyond it.
    audio = np.pad(batch.audio[:, :1920], ((0, 1), (0, 1280)))
    alone = Batch(length=np.array([4], np.int32), audio=audio[:1, :2560])
    padded = Batch(length=np.array([4, 0], np.int32), audio=audio)
    synthesize = jax.jit(system.synthesize)
    one, both = synthesize(alone), synthesize(padded)
    assert both.shape == (2, 3200) and not both[0, 2560:].any() and not both[1].any()
    np.testing.assert_allclose(both[0, :2560], one[0], atol=1e-6)
    for name, value in loss_of(system, "main", alone)[1].items():
        np.testing.assert_allclose(loss_of(system, "main", padded)[1][name], value, rtol=2e-2)


def test_silence_has_finite_gradients():
    _, _, state, step = start("gan")
    silent = Batch(length=np.full(2, 4, np.int32), audio=np.zeros((2, 2560), np.float32))
    _, metrics = step(state, silent)
    assert metrics["finite"]


def test_both_players_train_in_one_step_each_its_own_side():
    _, players, before, step = start("gan")
    after, metrics = step(before, tones())
    after, _ = step(after, tones())
    assert step._cache_size() == 1
    assert [player.name for player in players] == ["critic", "generator"]
    assert metrics["finite"]
    assert {"loss/critic", "real/critic", "mel/generator", "features/generator"} <= metrics.keys()
    for side in ("generator", "critics"):
        leaves = zip(jax.tree.leaves(before["params"][side]), jax.tree.leaves(after["params"][side]), strict=True)
        assert all((old != new).any() for old, new in leaves)
    # The critics' singular vectors moved with them.
    stats = zip(jax.tree.leaves(before["stats"]), jax.tree.leaves(after["stats"]), strict=True)
    assert all((old != new).any() for old, new in stats if old.size > 1)


def test_critics_rest_in_the_first_stage():
    _, players, before, step = start("reconstruction")
    after, metrics = step(before, tones())
    assert [player.name for player in players] == ["main"] and "mel" in metrics
    for name in ("params", "stats"):
        for old, new in zip(
            jax.tree.leaves(before[name]["critics"]), jax.tree.leaves(after[name]["critics"]), strict=True
        ):
            np.testing.assert_array_equal(old, new)


@pytest.mark.slow
def test_one_batch_is_learned():
    _, _, state, step = start("reconstruction")
    batch, found = tones(), []
    for _ in range(150):
        state, metrics = step(state, batch)
        found.append(float(metrics["mel"]))
    assert np.mean(found[-10:]) < 0.4 * found[0]


@pytest.mark.slow
def test_critics_learn_to_tell():
    _, _, state, step = start("gan")
    found = []
    for _ in range(40):
        state, metrics = step(state, tones())
        found.append(float(metrics["loss/critic"]))
    assert np.mean(found[-5:]) < 0.6 * found[0]


def test_evaluation_is_deterministic():
    _, players, state, _ = start("gan")
    system = small_system(gain_db=(-6.0, 6.0))
    losses, synthesize = map(jax.jit, make_eval_steps(system, players))
    arguments = state["params"], state["stats"]
    one, other = (losses(*arguments, jax.random.key(seed), tones()) for seed in (0, 1))
    assert one == other and {"loss/critic", "mel/generator"} <= one.keys()
    assert synthesize(*arguments, jax.random.key(0), tones()).shape == (2, 2560)
