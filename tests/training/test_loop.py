"""Whole runs of the toy system: resuming, stopping, and what is left on disk."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training import full, toy
from tests.training.test_board import events
from v2s_jax.errors import V2SError
from v2s_jax.training import loop, plan, run
from v2s_jax.training.checkpoint import Checkpoints, read_weights
from v2s_jax.training.stages import stages_of

OPEN_LOADER = plan.open_loader  # before the toy takes its place
pytestmark = pytest.mark.usefixtures("compile_once", "toy_system")


def final_state(workdir, config):
    """The state a run left, restored from its last checkpoint."""
    with contextlib.ExitStack() as stack:
        return loop.Run(config, workdir, stack).state


def lines(workdir, name="loss"):
    """Step and value of every line of metrics.jsonl that has `name`."""
    found = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line[name]) for line in found if name in line]


@pytest.fixture(scope="module")
def whole(compile_once, tmp_path_factory):
    """A run of four steps without a break."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        toy.use_toy(patch.setattr)
        assert loop.train(toy.toy_config(), folder) == 0
    return folder


def test_four_steps_are_two_a_restore_and_two_to_the_bit(whole, tmp_path, monkeypatch):
    config = toy.toy_config()
    stop_after(monkeypatch, 2)
    assert loop.train(config, tmp_path) == 128 + signal.SIGTERM
    monkeypatch.undo()
    toy.use_toy(monkeypatch.setattr)
    assert int(final_state(tmp_path, config)["step"]) == 2
    assert loop.train(config, tmp_path) == 0
    toy.assert_same(final_state(whole, config), final_state(tmp_path, config))
    assert lines(tmp_path) == lines(whole)


def stop_after(monkeypatch, step):
    """Sends this process SIGTERM while it makes step number `step`."""
    next_batch, calls = loop.Run.next_batch, []

    def stopping(self, batches):
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return next_batch(self, batches)

    monkeypatch.setattr(loop.Run, "next_batch", stopping)


def test_sigterm_to_a_real_process_saves_and_the_same_command_goes_on(tmp_path):
    command = [sys.executable, "-m", "tests.training.toy", str(tmp_path), "--set", "train.steps=1000000"]
    run = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True)
    for line in run.stderr:
        if line.startswith("step 3/"):
            run.send_signal(signal.SIGTERM)
            break
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 128 + signal.SIGTERM, said
    assert "SIGTERM: finishing this step" in said and "the same command goes on from there" in said
    assert "Traceback" not in said
    config = toy.toy_config(**{"train.steps": 1_000_000})
    step = int(final_state(tmp_path, config)["step"])
    assert step >= 3 and lines(tmp_path)[-1][0] == step


def test_a_run_that_blows_up_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    config = toy.toy_config(**{"train.steps": 8, "data.poison_step": 5, "system.poison": 0, "train.save_every": 2})
    with pytest.raises(V2SError, match="not finite at step 6 .* the checkpoint of step 4 is the last good one"):
        loop.train(config, tmp_path)
    state = final_state(tmp_path, config)
    assert int(state["step"]) == 4
    assert all(np.isfinite(value).all() for value in toy.flat(state).values())


def test_a_run_that_blows_up_goes_back_and_on_without_what_led_there(whole, tmp_path, capsys):
    settings = {"train.steps": 8, "data.poison_step": 4, "system.poison": 0, "train.save_every": 3}
    config = toy.toy_config(**settings, **{"train.on_nonfinite": "rollback"})
    assert loop.train(config, tmp_path) == 0
    assert "at step 5. Going back to step 3, without the 2 batches since then (rollback 1 of at most 3)" in (
        said := capsys.readouterr().err
    )
    assert "Done at step 8" in said
    found = lines(tmp_path)
    assert [step for step, _ in found] == list(range(1, 9)) and all(value is not None for _, value in found)
    run = final_state(tmp_path, config)
    assert int(run["step"]) == 8
    with contextlib.ExitStack() as stack:
        assert loop.Run(config, tmp_path, stack).loop["loader"]["step"] == 10  # eight batches and two left out


def test_rolling_back_comes_to_an_end(tmp_path, monkeypatch):
    # Every batch from the fifth on is bad.
    monkeypatch.setattr(toy.ToyLoader, "batch", worse(toy.ToyLoader.batch))
    settings = {"train.steps": 8, "system.poison": 0, "train.on_nonfinite": "rollback", "train.rollbacks": 2}
    with pytest.raises(V2SError, match="not finite at step 5 and the run stopped; the checkpoint of step 4"):
        loop.train(toy.toy_config(**settings), tmp_path)
    with pytest.raises(V2SError, match="train.on_nonfinite is 'retry'; it must be"):
        loop.train(toy.toy_config(**{"train.on_nonfinite": "retry"}), tmp_path)


def worse(batch):
    """A loader's batches, poisoned from the fifth on."""

    def poisoned(self, step):
        made = batch(self, step)
        made.mouth[0, 0, 0, 0] = 0 if step >= 4 else 1
        return made

    return poisoned


def test_validation_scores_draws_and_names_the_best(tmp_path):
    assert loop.train(toy.toy_config(**{"validation.every": 2}), tmp_path) == 0
    assert [step for step, _ in lines(tmp_path, "val/estoi")] == [2, 4]
    assert (tmp_path / "pictures" / "00000004_0.png").exists()
    assert "heads/0/kernel" in (tmp_path / "model.txt").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["system"]["name"] == "toy"
    config, params, stats = read_weights(tmp_path)
    assert config.train.steps == 4 and params["heads"][0]["kernel"].shape == (16, 320) and stats["norm"]["mean"].any()


def test_no_improvement_ends_the_run_and_it_stays_ended(tmp_path):
    settings = {"train.steps": 20, "validation.every": 1, "train.patience": 2, "train.best_is": "max"}
    config = toy.toy_config(**settings, **{"train.save_every": 100, "validation.clips": 0})
    assert loop.train(config, tmp_path) == 0
    losses = lines(tmp_path, "val/loss")
    best = max(losses, key=lambda entry: entry[1])[0]
    assert losses[-1][0] == best + 2 < 20
    assert loop.train(config, tmp_path) == 0
    assert lines(tmp_path, "val/loss") == losses


def test_a_finished_run_is_left_as_it_is(whole):
    before = (whole / "metrics.jsonl").read_text()
    assert loop.train(toy.toy_config(), whole) == 0
    assert (whole / "metrics.jsonl").read_text() == before


def test_a_workdir_of_another_system_is_refused(whole):
    with pytest.raises(V2SError, match=r"another config \(system.width: 16 -> 8\)"):
        loop.train(toy.toy_config(**{"system.width": 8}), whole)


def test_a_best_metric_that_validation_does_not_give_is_refused(tmp_path):
    config = toy.toy_config(**{"validation.every": 1, "train.best": "val/pesq", "validation.clips": 0})
    with pytest.raises(V2SError, match="'val/pesq', which validation did not give; it gave val/l1, val/loss"):
        loop.train(config, tmp_path)


def test_a_workdir_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(V2SError, match="file/run cannot be written to .* choose another"):
        loop.train(toy.toy_config(), tmp_path / "file" / "run")


def test_a_full_disk_is_reported_and_training_goes_on_and_saves_when_there_is_room(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "tests.training.full", str(tmp_path)]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    times = {"metrics.jsonl": 1, r"events\.\S+": 1, "00000005_0.png:": 1, "No profile": 1}
    said = {what: len(re.findall(f"{what} c(?:annot|ould) be written", run.stderr)) for what in times}
    assert said == times, run.stderr
    # The saves at steps 4, 5 and 6 fail, and that of step 2 if it was still being written.
    assert run.stderr.count("No checkpoint could be written") in (3, 4), run.stderr
    assert run.stderr.count("is written again") == 2
    # Nothing that was measured is lost, and nothing half-written is left.
    assert [step for step, _ in lines(tmp_path)] == list(range(1, full.STEPS + 1))
    shown = [event.step for event in events(tmp_path / "tensorboard") for v in event.summary.value if v.tag == "loss"]
    assert shown == list(range(1, full.STEPS + 1))
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["00000010_0.png"]
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["10", "8"]


def test_a_last_save_that_fails_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoints, "save", lambda *_: "No space left.")
    with pytest.raises(V2SError, match="ended at step 4 without a checkpoint of it: No space left."):
        loop.train(toy.toy_config(), tmp_path)


@pytest.mark.parametrize("steps", [(1, 2), (3, 9)])
def test_a_profile_is_written_also_where_the_run_ends_first(tmp_path, steps, capsys):
    assert loop.train(toy.toy_config(**{"train.profile": steps}), tmp_path) == 0
    assert list((tmp_path / "profile").rglob("*.pb"))
    assert f"Profile of steps {steps[0]} to {steps[1]} in" in capsys.readouterr().err


def test_too_little_memory_is_said_in_a_sentence(tmp_path, monkeypatch):
    huge = jax.jit(lambda: jnp.zeros(2**44, jnp.uint8))
    monkeypatch.setattr(run, "compile_train_step", lambda *_: lambda *_: huge())
    with pytest.raises(V2SError, match="does not fit the device's memory .* lower data.batch_size"):
        loop.train(toy.toy_config(), tmp_path)


def test_a_run_may_start_from_the_weights_of_another(whole, tmp_path):
    config = toy.toy_config(**{"train.init_from": str(whole), "train.stage": "head", "train.steps": 2})
    assert loop.train(config, tmp_path) == 0
    _, params, stats = read_weights(whole)
    after = final_state(tmp_path, config)
    toy.assert_same(after["params"]["trunk"], params["trunk"])
    toy.assert_same(after["stats"], stats)
    assert (after["params"]["heads"][0]["kernel"] != params["heads"][0]["kernel"]).any()
    moved = np.abs(np.asarray(after["ema"]["heads"][0]["kernel"]) - params["heads"][0]["kernel"]).max()
    assert 0 < moved < 0.01  # two steps of at most 0.001: the averages started there too


def test_weights_of_another_system_are_refused(whole, tmp_path):
    config = toy.toy_config(**{"train.init_from": str(whole), "system.width": 8})
    with pytest.raises(
        V2SError, match=r"init_from .* another config \(weights.heads/0/kernel: \(16, 320\) -> \(8, 320\)"
    ):
        loop.train(config, tmp_path)


def test_stages_follow_each_other_through_stops(tmp_path, monkeypatch):
    config = toy.toy_config(**{"train.stage": "", "train.stages": ("all", "head")})
    assert loop.train(config, tmp_path / "whole") == 0
    parts = tmp_path / "parts"
    stop_after(monkeypatch, 2)
    assert loop.train(config, parts) == 128 + signal.SIGTERM
    assert (parts / "all" / "checkpoints").is_dir() and not (parts / "checkpoints").exists()
    stop_after(monkeypatch, 4)  # two steps are left of the first stage
    assert loop.train(config, parts) == 128 + signal.SIGTERM
    monkeypatch.undo()
    toy.use_toy(monkeypatch.setattr)
    assert len(lines(parts / "all")) == 4 and len(lines(parts)) == 2
    assert loop.train(config, parts) == 0
    own = list(stages_of(config, parts))[-1][0]
    after = final_state(parts, own)
    toy.assert_same(after["params"], final_state(tmp_path / "whole", toy_with(own, train={"init_from": ""}))["params"])
    _, params, stats = read_weights(parts / "all")
    toy.assert_same(after["params"]["trunk"], params["trunk"])
    toy.assert_same(after["stats"], stats)
    assert (after["params"]["heads"][0]["kernel"] != params["heads"][0]["kernel"]).any()


def test_a_later_stage_that_cannot_begin_is_refused_before_the_first(tmp_path):
    config = toy.toy_config(**{"train.stage": "", "train.stages": ("all", "hand")})
    with pytest.raises(V2SError, match="config.train.stage is 'hand', but this system has the stages all, head"):
        loop.train(config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_real_shards_train_and_resume_to_the_bit(dataset_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "open_loader", OPEN_LOADER)
    settings = {"data.path": str(dataset_dir), "data.batch_size": 4, "data.buckets": (toy.FRAMES,)}
    config = toy.toy_config(**settings, **{"validation.every": 4, "validation.clips": 1})
    del config.data.poison_step
    assert loop.train(config, tmp_path / "whole") == 0
    stop_after(monkeypatch, 2)
    assert loop.train(config, tmp_path / "parts") == 128 + signal.SIGTERM
    assert loop.train(config, tmp_path / "parts") == 0
    toy.assert_same(final_state(tmp_path / "whole", config), final_state(tmp_path / "parts", config))
    with pytest.raises(V2SError, match="trained on data with seed 0"):
        loop.train(toy_with(config, seed=1), tmp_path / "parts")


def toy_with(config, **changes):
    """A copy of a config with changes."""
    changed = config.copy_and_resolve_references()
    changed.update(changes)
    return changed
