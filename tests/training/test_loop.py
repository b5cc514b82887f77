import numpy as np
import pytest

from tests.training import toy
from v2s_jax.errors import V2SError
from v2s_jax.training import checkpoint, loop

pytestmark = pytest.mark.usefixtures("toy_system")


def final_state(workdir, config):
    """The state a run left, restored from its last checkpoint."""
    import contextlib

    with contextlib.ExitStack() as stack:
        return loop.Run(config, workdir, stack).state


def test_four_steps_are_two_a_restore_and_two_to_the_bit(tmp_path):
    config = toy.toy_config(**{"train.steps": 4, "optimizer.schedule": "constant"})
    assert loop.train(config, tmp_path / "whole") == 0
    half = toy.toy_config(**{"train.steps": 2, "optimizer.schedule": "constant"})
    assert loop.train(half, tmp_path / "parts") == 0
    assert loop.train(config, tmp_path / "parts") == 0
    toy.assert_same(final_state(tmp_path / "whole", config), final_state(tmp_path / "parts", config))


def test_a_run_that_blows_up_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    config = toy.toy_config(**{"train.steps": 8, "data.poison_step": 5, "system.poison": 0, "train.save_every": 2})
    with pytest.raises(V2SError, match="not finite at step 6 .* the checkpoint of step 4 is the last good one"):
        loop.train(config, tmp_path)
    state = final_state(tmp_path, config)
    assert int(state["step"]) == 4
    assert all(np.isfinite(value).all() for value in toy.flat(state).values())


def test_validation_scores_draws_and_names_the_best(tmp_path):
    assert loop.train(toy.toy_config(**{"validation.every": 2}), tmp_path) == 0
    text = (tmp_path / "metrics.jsonl").read_text()
    assert "val/estoi" in text and "steps_per_second" in text
    assert (tmp_path / "pictures" / "00000004_0.png").exists()
    assert "heads/0/kernel" in (tmp_path / "model.txt").read_text()
    assert checkpoint.Checkpoints(tmp_path, 2, "min").best() == 4
