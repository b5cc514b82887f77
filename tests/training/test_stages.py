from pathlib import Path

import pytest
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.training.defaults import default_config
from v2s_jax.training.stages import stages_of

WORKDIR = Path("runs/one")


def experiment(**stages):
    config = default_config()
    config.train.update({"stages": ("first", "second", "third"), "init_from": "encoder", "grafts": (("a", "b", "c"),)})
    config.stages = ConfigDict(stages)
    return config.lock()


def test_stages_follow_each_other():
    config = experiment(second={"train": {"steps": 7}, "optimizer": {"learning_rate": 0.5}})
    runs = list(stages_of(config, WORKDIR))
    assert [folder for _, folder in runs] == [WORKDIR / "first", WORKDIR / "second", WORKDIR]
    assert [own.train.stage for own, _ in runs] == ["first", "second", "third"]
    assert [own.train.init_from for own, _ in runs] == ["encoder", "runs/one/first", "runs/one/second"]
    assert [own.train.grafts for own, _ in runs] == [(("a", "b", "c"),), (), ()]
    assert [own.train.steps for own, _ in runs] == [1000, 7, 1000]
    assert [own.optimizer.learning_rate for own, _ in runs] == [1e-3, 0.5, 1e-3]
    assert not any(own.train.stages or own.stages for own, _ in runs)
    assert config.train.stage == "" and config.train.steps == 1000


def test_one_stage_alone():
    config = experiment(second={"train": {"steps": 7}}, third={"train": {"steps": 8}})
    config.train.stage = "second"
    ((own, folder),) = stages_of(config, WORKDIR)
    assert (own.train.stage, own.train.steps, own.train.init_from, folder) == ("second", 7, "encoder", WORKDIR)
    assert not own.train.stages and not own.stages
    config.train.stage = "another"
    assert list(stages_of(config, WORKDIR)) == [(config, WORKDIR)]


def test_a_stage_named_twice():
    config = experiment()
    config.train.stages = ("first", "second", "first")
    with pytest.raises(V2SError, match="train.stages is first, second, first: expected every stage once"):
        list(stages_of(config, WORKDIR))


def test_settings_that_do_not_fit():
    with pytest.raises(V2SError, match="stages.frist has settings, but train.stages names first, second, third alone"):
        list(stages_of(experiment(frist={}), WORKDIR))
    with pytest.raises(V2SError, match="stages.first has a setting that does not fit the experiment: .*stepps"):
        list(stages_of(experiment(first={"train": {"stepps": 3}}), WORKDIR))
    with pytest.raises(V2SError, match="stages.third has a setting that does not fit"):
        list(stages_of(experiment(third={"train": {"steps": "many"}}), WORKDIR))
