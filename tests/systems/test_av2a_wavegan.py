import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.small_av2a import clips, small_config, small_wave_config
from tests.small_vocoder import filled
from v2s_jax.data.batch import Batch
from v2s_jax.models.modality_norm import BOTH, VIDEO
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.base import frame_mask
from v2s_jax.systems.registry import build
from v2s_jax.training.paths import flatten
from v2s_jax.training.rules import assign, players
from v2s_jax.training.state import split_system


def small(procedure="dropout_true", **settings):
    return filled(lambda: build(small_wave_config(procedure, **settings), Rngs(0)))


def evaluated(system):
    return nnx.view(system, deterministic=True, use_running_average=True, raise_if_not_found=False)


@pytest.fixture(scope="module")
def system():
    return evaluated(small())


@pytest.fixture(scope="module")
def spoken(system):
    synthesize = jax.jit(lambda batch, knobs: system.synthesize(batch, Rngs(0), knobs))
    batch = jax.tree.map(jnp.asarray, Batch(clips().length, clips().mouth))
    return {rounds: synthesize(batch, {"rounds": jnp.float32(rounds)}) for rounds in (0, 1, 2)}


def test_own_draft_and_rounds_are_the_turns_one_by_one(system, spoken):
    given = jax.tree.map(jnp.asarray, clips())
    mask = frame_mask(given.length, 6)

    @jax.jit
    def turn(heard, state):
        state = jnp.full(2, state)
        seen = system.see(given, mask, state)
        return system.speak(system.features(seen, heard, state, given), mask, state)

    wave = turn(jnp.zeros((2, 24, 80)), VIDEO)
    for rounds, found in spoken.items():
        wave = turn(system.hear(wave, given.length), BOTH) if rounds else wave
        np.testing.assert_allclose(found, wave, atol=1e-5)
    assert spoken[0].shape == (2, 6 * 640) and np.abs(spoken[0]).max() <= 1
    np.testing.assert_array_equal(spoken[2][1, 4 * 640 :], 0)
    assert np.abs(spoken[0] - spoken[1]).max() > 1e-4


def test_a_padded_clip_is_spoken_as_the_clip_alone(system, spoken):
    alone = jax.tree.map(jnp.asarray, Batch(clips().length[1:], clips().mouth[1:, :4]))
    found = jax.jit(lambda batch: system.synthesize(batch, Rngs(0), {"rounds": jnp.float32(2)}))(alone)
    np.testing.assert_allclose(found[0], spoken[2][1, : 4 * 640], atol=1e-5)


@pytest.fixture(scope="module")
def losses():
    graphdef, state = nnx.split(small())

    @jax.jit
    def every(state, batch, key):
        found = {}
        for player in ("main", "generator", "critic"):
            found[player] = nnx.merge(graphdef, state).loss(batch, Rngs(key), player)
        return found

    return every(state, jax.tree.map(jnp.asarray, clips()), jax.random.key(3))


def test_comparative_losses_are_weighted(losses):
    loss, metrics = losses["main"]
    assert set(metrics) == {"power", "mfcc", "perceptual"}
    weights = small_wave_config()
    expected = sum(weights[f"{name}_weight"] * float(value) for name, value in metrics.items())
    assert float(loss) == pytest.approx(expected, rel=1e-5) and all(value > 0 for value in metrics.values())


def test_the_generator_is_judged_too(losses):
    loss, metrics = losses["generator"]
    assert float(loss) == pytest.approx(float(losses["main"][0] + 0.02 * metrics["adversarial"]), rel=1e-5)


def test_critics_are_held_to_a_slope(losses):
    loss, metrics = losses["critic"]
    penalty = metrics["penalty_wave"] + metrics["penalty_power"]
    distance = metrics["distance_wave"] + metrics["distance_power"]
    assert float(loss) == pytest.approx(float(50 * penalty - distance), rel=1e-5)
    assert penalty > 0


@pytest.mark.parametrize("procedure", ["both", "video"])
def test_rules_cover_all_and_leave_base_and_listener(procedure):
    system = nnx.eval_shape(lambda: build(small_wave_config(procedure), Rngs(0)))
    paths = [path for tree in split_system(system)[1:] for path in flatten(tree)]
    stages = system.stages()
    actions = assign(stages["gan"], paths)
    assert set(players(stages["gan"], actions)) == {"critic", "generator"}
    still = {path.split("/")[0] for path, action in actions.items() if action.player is None}
    assert still == ({"base", "listener"} if procedure == "both" else {"listener"})
    alone = assign(stages["reconstruction"], paths)
    assert {path.split("/")[0] for path, action in alone.items() if action.player is None} == still | {"critics"}


def test_what_is_handed_on_is_without_critics_and_listener_and_does_not_train(system):
    section, left = system.handed_on(small_wave_config())
    bare = nnx.eval_shape(lambda: build(section, Rngs(0)))
    own, whole = (flatten(split_system(module)[1]) for module in (bare, system))
    assert set(own) == {path for path in whole if path.split("/")[0] not in left}
    with pytest.raises(ValueError, match="exported without its critics"):
        bare.loss(clips(), Rngs(0))


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="system.tempo"):
        build(small_wave_config(tempo=(0.9, 1.1)), Rngs(0))
    config = small_wave_config("both")
    config.v2a = small_config("both").v2a
    with pytest.raises(ValueError, match="system.v2a is of svts"):
        nnx.eval_shape(lambda: build(config, Rngs(0)))
