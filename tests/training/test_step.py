"""The step on the toy system: what moves, what must not, and what it costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.training import toy
from v2s_jax.errors import V2SError
from v2s_jax.models.rngs import Rngs
from v2s_jax.training import mesh
from v2s_jax.training.rules import choose_rules
from v2s_jax.training.state import create_state, make_players, split_system
from v2s_jax.training.step import compile_train_step, make_eval_steps, make_train_step


class Game(nnx.Module):
    """Two scalars with opposite aims: `critic` climbs what `main` descends."""

    def __init__(self, rngs):
        self.critic = nnx.Param(jnp.array([1.0]))
        self.actor = nnx.Param(jnp.array([2.0]))

    def loss(self, batch, rngs, player):
        value = self.critic[0] * self.actor[0]
        return (value if player == "actor" else -value), {"value": value}


def prepare(system, rules, **settings):
    config = toy.toy_config(**settings)
    players = make_players(system, rules, config)
    state = create_state(system, players, config.ema.decay, jax.random.key(0))
    return state, players, make_train_step(system, players, config.ema.decay)


@functools.cache
def batches():
    return [toy.ToyLoader().batch(step) for step in range(4)]


def run(state, step, n=3):
    step = jax.jit(step)
    for batch in batches()[:n]:
        state, metrics = step(state, batch)
    return state, metrics


def test_frozen_is_identical_to_the_bit_statistics_included():
    system = toy.Toy(Rngs(0))
    before, players, step = prepare(system, system.stages()["head"])
    after, metrics = run(before, step)
    for name in ("trunk", "norm"):
        toy.assert_same(before["params"][name], after["params"][name])
    toy.assert_same(before["stats"], after["stats"])
    assert (before["params"]["heads"][0]["kernel"] != after["params"]["heads"][0]["kernel"]).any()
    assert metrics["finite"] and metrics["loss"].dtype == jnp.float32


def test_nothing_is_allocated_or_differentiated_for_frozen_parameters():
    system = toy.Toy(Rngs(0))
    state, _, step = prepare(system, system.stages()["head"])
    shapes = {x.shape for x in jax.tree.leaves((state["opt_state"], state["ema"]))}
    assert shapes == {(), (16, 320), (320,)}
    # Behind the head's own gradient come, when the trunk trains, that of the hidden layer and that of the trunk.
    frozen = products(step, state)
    state, _, step = prepare(system, system.stages()["all"])
    assert products(step, state) == frozen + 2


def products(step, state) -> int:
    """Matrix products in the lowered step."""
    return jax.jit(step).lower(state, batches()[0]).as_text().count("dot_general ")


def test_a_frozen_batch_norm_normalises_by_its_running_averages():
    system = toy.Toy(Rngs(0))
    system.norm.mean[...] = jnp.full(16, 1e3)  # with these averages nothing passes the relu, so the head sees zeros
    state, _, step = prepare(system, system.stages()["head"], **{"optimizer.weight_decay": 0.0})
    after, _ = run(state, step, 1)
    toy.assert_same(state["params"]["heads"][0]["kernel"], after["params"]["heads"][0]["kernel"])


def test_everything_trains_in_the_other_stage():
    system = toy.Toy(Rngs(0))
    before, _, step = prepare(system, system.stages()["all"])
    after, metrics = run(before, step)
    before, after = toy.flat(before), toy.flat(after)
    changed = {path for path in before if (before[path] != after[path]).any()}
    assert changed >= {path for path in before if "params" in path or "stats" in path or "ema" in path}
    assert metrics.keys() == {"l1", "loss", "grad_norm", "param_norm", "lr", "finite"}


def test_an_infinite_loss_changes_nothing_but_the_step():
    system = toy.Toy(Rngs(0), poison=1)
    before, _, step = prepare(system, system.stages()["all"])
    after, metrics = run(before, step, 1)
    assert not metrics["finite"]
    assert int(after.pop("step")) == 1 and int(before.pop("step")) == 0
    toy.assert_same(before, after)


def test_the_state_is_donated_and_the_step_compiled_once():
    system = toy.Toy(Rngs(0))
    state, players, step = prepare(system, system.stages()["all"])
    config = toy.toy_config().mesh
    devices = mesh.make_mesh(config)
    shardings = mesh.state_shardings(state, players, devices, config)
    state = jax.device_put(state, shardings)
    rows = mesh.batch_sharding(devices)
    step = compile_train_step(step, shardings, rows)
    for number, batch in enumerate(batches()):
        old, (state, _) = state, step(state, mesh.put_batch(batch, rows))
        gone = [x.is_deleted() for x in jax.tree.leaves(old)]
        assert all(gone), number
    assert step._cache_size() == 1


def test_dropout_follows_the_step_and_the_seed_alone():
    system = toy.Toy(Rngs(0))
    state, _, step = prepare(system, system.stages()["all"])
    first, again = (jax.jit(step)(state, batches()[0])[1]["loss"] for _ in range(2))
    later = jax.jit(step)(state | {"step": state["step"] + 1}, batches()[0])[1]["loss"]
    assert first == again and first != later


def test_bfloat16_compute_keeps_state_and_losses_in_float32():
    system = toy.Toy(Rngs(0), jnp.bfloat16)
    state, _, step = prepare(system, system.stages()["all"])
    after, metrics = run(state, step, 1)
    assert {x.dtype for x in jax.tree.leaves((after["params"], after["stats"], after["ema"]))} == {jnp.dtype("float32")}
    assert metrics["loss"].dtype == metrics["grad_norm"].dtype == jnp.float32


def test_players_take_turns_in_one_step():
    settings = {"optimizer.name": "adam", "optimizer.schedule": "constant", "optimizer.learning_rate": 0.5}
    rules = [("critic", "train:critic"), ("actor", "train:actor")]
    state, players, step = prepare(Game(Rngs(0)), rules, **settings)
    assert [player.name for player in players] == ["critic", "actor"]
    state, metrics = jax.jit(step)(state, batches()[0])
    # The critic climbs first (1 + 0.5); the actor then descends against the new critic (2 - 0.5).
    np.testing.assert_allclose(state["params"]["critic"], [1.5], rtol=1e-5)
    np.testing.assert_allclose(state["params"]["actor"], [1.5], rtol=1e-5)
    np.testing.assert_allclose([metrics["value/critic"], metrics["value/actor"]], [2.0, 3.0], rtol=1e-5)
    assert state["opt_state"].keys() == {"actor", "critic"}


def test_one_player_may_have_its_own_rate():
    config = toy.toy_config(**{"optimizer.name": "adam", "optimizer.schedule": "constant"})
    config.optimizer.players = {"critic": {"learning_rate": 0.25}}
    critic, actor = [("critic", "train:critic")], [("actor", "train:actor")]
    players = make_players(Game(Rngs(0)), critic + actor, config)
    assert {player.name: float(player.schedule(0)) for player in players} == pytest.approx(
        {"actor": 1e-3, "critic": 0.25}
    )


def test_a_weight_of_no_certain_type_does_not_compile_twice():
    game = Game(Rngs(0))
    game.actor = nnx.Param(jnp.full((1,), 2.0))  # weakly typed, which what a step makes of it is not
    state, _, step = prepare(game, [("critic", "train:critic"), ("actor", "train:actor")])
    step = jax.jit(step)
    for batch in batches()[:2]:
        state, _ = step(state, batch)
    assert step._cache_size() == 1


def test_evaluation_is_deterministic_and_uses_the_running_averages():
    system = toy.Toy(Rngs(0))
    state, players, _ = prepare(system, system.stages()["all"])
    losses, synthesize = map(jax.jit, make_eval_steps(system, players))
    arguments = state["params"], state["stats"]
    one, other = (losses(*arguments, jax.random.key(seed), batches()[0])["loss"] for seed in (0, 1))
    assert one == other
    assert synthesize(*arguments, jax.random.key(0), batches()[0]).shape == (toy.ROWS, 4 * toy.FRAMES, 80)


def test_rules_must_cover_statistics_too():
    system = toy.Toy(Rngs(0))
    with pytest.raises(V2SError, match=r"norm/mean \(by none\)"):
        make_players(system, [(".*/(kernel|bias|scale)", "train")], toy.toy_config())
    assert choose_rules(system.stages(), "head")[0][1] == "frozen"


def test_modules_that_keep_random_state_are_refused():
    class Keeper(nnx.Module):
        def __init__(self, rngs):
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

    with pytest.raises(ValueError, match="dropout"):
        split_system(Keeper(Rngs(0)))
