"""On Beam's own runner, for real. Functions handed to workers are of the standard library, as in test_workers.py."""

import operator
import os
import shutil
import sys

import pytest

from data_pipelines.grid.corpus import Grid
from v2s_jax.data import beam
from v2s_jax.data.prepare import STAGING, Options, prepare
from v2s_jax.data.schema import stored_values
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.data.workers import Failure
from v2s_jax.errors import V2SError


@pytest.fixture
def direct():
    return beam.beam_options("direct", "", jobs=2)


def records(folder) -> dict[str, dict]:
    dataset = ShardedDataset(folder, "train")
    # Parsed, since TFDS writes a record's fields in any order.
    stored = [stored_values(dataset.raw(index)) for index in range(len(dataset))]
    return {
        id: {name: list(values) for name, values in own.items()} for id, own in zip(dataset.ids, stored, strict=True)
    }


@pytest.mark.slow
def test_it_makes_the_data_set_that_processes_of_one_machine_make(talker_tree, talker_data, tmp_path):
    tree = shutil.copytree(talker_tree, tmp_path / "tree")
    for clip in sorted(tree.glob("*/*.mp4"))[2:]:
        clip.unlink()
    (tree / "t01" / "broken.mp4").write_text("this is a text file")
    out = tmp_path / "out"
    summary = prepare(Grid(), tree, out, Options(jobs=2, runner="direct"))
    made, whole = records(out), records(talker_data)
    assert len(made) == 2 and made == {id: whole[id] for id in made}
    assert [clip.id for clip in summary.skipped] == ["t01/broken"] and "broken.mp4" in summary.skipped[0].reason
    assert not (out / STAGING).exists()


def test_every_task_has_its_outcome_once(direct, tmp_path, monkeypatch):
    monkeypatch.setattr(beam, "BUNDLE", 3)
    found = list(beam.run_on_beam(divmod, abs, [-4, 3, 7, 5, 2], tmp_path / "left", direct, 60))
    assert sorted(found) == [(-4, (-1, 0)), (2, (1, 0)), (3, (1, 0)), (5, (1, 0)), (7, (1, 0))]


def test_a_task_that_crashes_its_process_costs_itself_alone(direct, tmp_path):
    found = dict(beam.run_on_beam(divmod, os._exit, [3], tmp_path / "left", direct, 60))
    assert found == {3: Failure("crashed the process that read it (exit status 3)")}


def test_a_record_that_cannot_be_written_ends_the_run(direct, tmp_path):
    with pytest.raises(V2SError, match=r"the Beam runner failed: .*run the command again"):
        list(beam.run_on_beam(operator.truediv, abs, [0], tmp_path / "left", direct, 60))


def test_workers_that_write_elsewhere_are_noticed(direct, tmp_path, monkeypatch):
    monkeypatch.setattr(beam, "stage_bundle", print)
    with pytest.raises(V2SError, match="must be a folder that all of them have mounted"):
        list(beam.run_on_beam(divmod, abs, [1], tmp_path / "left", direct, 60))


def test_options_reach_the_runner():
    found = beam.beam_options("flink", "--flink_master=host:8081 --parallelism=64", jobs=2).get_all_options()
    assert (found["runner"], found["flink_master"], found["parallelism"]) == ("FlinkRunner", "host:8081", 64)


def test_without_beam_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(V2SError, match=r"pip install 'v2s-jax\[beam\]'"):
        beam.beam_options("direct", "", 1)
