import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training import toy
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models.rngs import Rngs
from v2s_jax.training.accumulate import split_rows
from v2s_jax.training.state import create_state, make_players
from v2s_jax.training.step import make_train_step


def steps(stage: str, parts: int, count: int = 3):
    """State and losses after some steps of the toy without dropout."""
    system = toy.Toy(Rngs(0))
    system.dropout.rate = 0.0
    players = make_players(system, system.stages()[stage], toy.toy_config())
    state = create_state(system, players, 0.9, jax.random.key(0))
    step, losses = jax.jit(make_train_step(system, players, 0.9, parts)), []
    for number in range(count):
        state, metrics = step(state, toy.ToyLoader().batch(number))
        losses.append(float(metrics["loss"]))
    return state, losses


def test_a_batch_in_parts_trains_as_one_where_no_batch_norm_moves():
    (whole, losses), (parts, found) = steps("head", 1), steps("head", 4)
    np.testing.assert_allclose(found, losses, atol=1e-6)
    for one, other in zip(jax.tree.leaves(whole["params"]), jax.tree.leaves(parts["params"]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_running_averages_move_once_for_each_part():
    start = toy.Toy(Rngs(0)).norm.mean[...]
    state, _ = steps("all", 2, count=1)
    batch, system = toy.ToyLoader().batch(0), toy.Toy(Rngs(0))
    pooled = batch.mouth.reshape(toy.ROWS, toy.FRAMES, 8, 11, 8, 11).mean((3, 5), dtype=np.float32) / 255
    hidden = np.asarray(system.trunk(jnp.asarray(pooled.reshape(toy.ROWS, toy.FRAMES, 64))))
    expected = np.asarray(start)
    for part in (hidden[0::2], hidden[1::2]):
        expected = 0.9 * expected + 0.1 * part.mean((0, 1))
    np.testing.assert_allclose(state["stats"]["norm"]["mean"], expected, atol=1e-5)


def test_parts_take_turns_in_rows_and_keep_groups_together():
    batch = Batch(length=jnp.arange(12), units=jnp.arange(24).reshape(12, 2))
    assert split_rows(batch, 3).length.tolist() == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    split = split_rows(batch, 3, group=2)
    assert split.length.tolist() == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert split.units[1, 2].tolist() == [16, 17] and split.mouth is None
    with pytest.raises(V2SError, match="train.accumulate is 4, which does not split a batch of 12 rows in groups of 2"):
        split_rows(batch, 4, group=2)
