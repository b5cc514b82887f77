import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.training import toy
from tests.training.disk import full_disk
from v2s_jax.errors import V2SError
from v2s_jax.training import checkpoint
from v2s_jax.training.checkpoint import Checkpoints, config_json, read_weights, write_config
from v2s_jax.training.differences import differences

CONFIG = {"system": {"name": "toy", "width": [3, 4]}, "train": {"best_is": "max"}}


def state(value=1.0):
    return {
        "params": {"layers": {0: {"kernel": jnp.full((2, 3), value)}, 1: {"kernel": jnp.full((2, 3), -value)}}},
        "stats": {"norm": {"mean": jnp.full(3, value)}},
        "opt_state": {"main": ()},
        "ema": {"layers": {1: {"kernel": jnp.full((2, 3), 7.0)}}},
        "step": jnp.array(3),
        "key": jax.random.key(5),
    }


def abstract():
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state())


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path, 2, "max")
    yield opened
    opened.close()


def test_what_is_restored_is_what_was_saved_and_can_be_donated(checkpoints):
    assert checkpoints.restore(abstract(), CONFIG) is None
    position = {"loader": {"step": 3}}
    assert checkpoints.save(3, state(), position, CONFIG) is None
    position["loader"] = {"step": 4}  # the loop goes on while the checkpoint is written
    assert checkpoints.wait() is None
    found = checkpoints.restore(abstract(), CONFIG)
    toy.assert_same(found.state, state())
    assert found.loop == {"loader": {"step": 3}} and found.config == CONFIG
    jax.jit(lambda x: x, donate_argnums=0)(found.state)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(found.state))


def test_the_latest_and_the_best_stay(checkpoints):
    for step, score in enumerate([0.1, 0.9, 0.2, 0.3, None, float("nan")]):
        assert checkpoints.save(step, state(step), {}, CONFIG, score) is None
    assert checkpoints.wait() is None
    assert checkpoints.steps() == [1, 4, 5]


def test_saving_a_step_again_changes_nothing(checkpoints):
    checkpoints.save(1, state(1.0), {}, CONFIG)
    assert checkpoints.save(1, state(2.0), {}, CONFIG) is None
    checkpoints.wait()
    assert checkpoints.restore(abstract(), CONFIG).state["stats"]["norm"]["mean"][0] == 1


def test_half_written_checkpoints_are_never_picked_up(checkpoints, tmp_path):
    checkpoints.save(1, state(1.0), {}, CONFIG)
    checkpoints.close()
    # What a kill leaves: the folder under its temporary name.
    (tmp_path / "checkpoints" / "1").rename(tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp-0")
    again = Checkpoints(tmp_path, 2, "max")
    assert again.steps() == [] and again.restore(abstract(), CONFIG) is None
    again.close()


# Reading what is damaged leaves Orbax with coroutines of a closed event loop.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("victim", ["state/_METADATA", "_CHECKPOINT_METADATA", "state/d/*", "state/manifest.ocdbt"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(checkpoints, tmp_path, victim):
    checkpoints.save(1, state(1.0), {}, CONFIG)
    checkpoints.save(2, state(2.0), {}, CONFIG)
    checkpoints.close()
    for path in (tmp_path / "checkpoints" / "2").glob(victim):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again = Checkpoints(tmp_path, 2, "max")
    with pytest.warns(UserWarning, match="step 2 cannot be read"):
        found = again.restore(abstract(), CONFIG)
    assert found.state["stats"]["norm"]["mean"][0] == 1
    assert again.steps() == [1]
    assert (tmp_path / "broken_checkpoints" / "2").is_dir()
    assert again.save(2, state(3.0), {}, CONFIG) is None
    again.close()


def test_another_system_is_refused_with_what_differs(checkpoints):
    checkpoints.save(1, state(), {}, CONFIG)
    checkpoints.wait()
    other = CONFIG | {"system": {"name": "toy", "width": [3, 5]}}
    with pytest.raises(V2SError, match=r"model of another config \(system.width: \[3, 4\] -> \[3, 5\]\)"):
        checkpoints.restore(abstract(), other)
    assert checkpoints.steps() == [1]


def test_what_is_kept_for_the_backward_pass_may_change(checkpoints):
    parts = {"width": 3, "decoder": {"heads": 2}}
    checkpoints.save(1, state(), {}, CONFIG | {"system": parts | {"decoder": {"heads": 2, "remat": False}}})
    checkpoints.wait()
    changed = parts | {"remat": "dots_saveable", "decoder": {"heads": 2, "remat": "nothing_saveable", "scan": False}}
    assert checkpoints.restore(abstract(), CONFIG | {"system": changed}) is not None


def test_another_structure_is_refused_with_what_differs(checkpoints):
    checkpoints.save(1, state(), {}, CONFIG)
    checkpoints.wait()
    wanted = abstract() | {"ema": {}}
    with pytest.raises(V2SError, match=r"another structure \(state.ema/layers/1/kernel: \(2, 3\) -> absent\)"):
        checkpoints.restore(wanted, CONFIG)
    assert checkpoints.steps() == [1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as above
def test_a_failed_save_is_said_in_a_sentence_and_the_next_one_works(checkpoints):
    checkpoints.save(1, state(1.0), {}, CONFIG)
    checkpoints.wait()
    with full_disk():
        complaint = checkpoints.save(2, state(2.0), {}, CONFIG) or checkpoints.wait()
    assert "No checkpoint could be written" in complaint and "\n" not in complaint
    assert checkpoints.steps() == [1]
    assert checkpoints.save(3, state(3.0), {}, CONFIG) is None and checkpoints.wait() is None
    assert checkpoints.steps() == [1, 3]


def test_best_is_max_or_min(tmp_path):
    with pytest.raises(V2SError, match="train.best_is"):
        Checkpoints(tmp_path, 2, "highest")


def test_weights_for_synthesis_are_the_averages_of_the_best(checkpoints, tmp_path):
    for step, score in enumerate([0.5, 0.9, 0.1]):
        checkpoints.save(step, state(float(step)), {}, CONFIG, score)
    checkpoints.wait()
    config, params, stats = read_weights(tmp_path)
    assert config.system.name == "toy"
    assert params["layers"][0]["kernel"][0, 0] == 1 and params["layers"][1]["kernel"][0, 0] == 7
    assert stats["norm"]["mean"][0] == 1 and isinstance(stats["norm"]["mean"], np.ndarray)
    assert read_weights(tmp_path, best=False)[2]["norm"]["mean"][0] == 2


def test_a_folder_without_checkpoints_has_no_weights(tmp_path):
    with pytest.raises(V2SError, match="no training workdir"):
        read_weights(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(V2SError, match="no complete checkpoint"):
        read_weights(tmp_path)


def test_differences_are_named_by_path():
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "d": 4}) == [
        "config.a.b: 1 -> 3",
        "config.c: 2 -> absent",
        "config.d: absent -> 4",
    ]
    assert differences({"a": [1]}, {"a": [1]}) == []


def test_config_is_written_whole(tmp_path):
    values = config_json(ConfigDict({"a": (1, 2), "b": {"c": 0.5}}))
    assert values == {"a": [1, 2], "b": {"c": 0.5}}
    write_config(tmp_path, values)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert checkpoint.json.loads((tmp_path / "config.json").read_text()) == values
