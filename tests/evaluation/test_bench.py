import argparse
import json

import pytest
import torch

from tests.small_data import save_small_data
from tests.small_model import save_small
from tests.small_model import small_config as small_speaking
from tests.small_vocoder import small_config, small_system
from v2s_jax.errors import V2SError
from v2s_jax.evaluation import bench, bench_models
from v2s_jax.evaluation.bench_synthesis import steps_tried
from v2s_jax.models import speaker
from v2s_jax.models.folder import save_model
from v2s_jax.systems import hifigan as hifigan_system


def tiny_speaker():
    config = speaker.default_config("published")
    config.update(layers=1, hidden=8)
    return config


@pytest.fixture
def tiny(monkeypatch):
    """Models small enough to be compiled in a second or two each."""
    torch.set_num_threads(1)
    cases = bench_models.CASES
    vocoder = cases["hifigan"]._replace(config=lambda: small_config().generator)
    monkeypatch.setattr(
        bench_models, "CASES", {"speaker": cases["speaker"]._replace(config=tiny_speaker), "hifigan": vocoder}
    )
    system = small_config()
    monkeypatch.setattr(hifigan_system, "default_config", lambda size: system)


def run(*arguments):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args([str(argument) for argument in arguments]))


def test_models_beside_pytorch(tiny, tmp_path, capsys):
    assert run("models", "--parts", "speaker", "--seconds", 0.01, "--out", tmp_path / "figures.json") == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["models"]
    assert figures["speaker forward: largest difference to torch"] < 1e-5
    for work in ("forward, batch 1", "forward, batch 8", "training step"):
        ours, theirs = (figures[f"speaker {work}: seconds{end}"] for end in ("", " in torch"))
        assert ours > 0 and theirs > 0
        # Medians of pairs, so only about their ratio.
        assert figures[f"speaker {work}: times as fast as torch"] == pytest.approx(theirs / ours, rel=0.9)
    assert "speaker training step: times as fast as torch" in capsys.readouterr().out


def test_speech_a_second_stage_by_stage_beside_pytorch(tmp_path):
    torch.set_num_threads(1)
    save_model(tmp_path / "vocoder", small_config().generator, small_system().generator, {}, "")
    config = small_speaking()
    config.synthesis = {"vocoder": str(tmp_path / "vocoder")}
    save_small(tmp_path / "model", config)
    data = save_small_data(tmp_path, (30, 30))
    options = ["--data", data, "--model", tmp_path / "model", "--seconds", 0.01]
    assert run("synthesize", *options, "--out", tmp_path / "figures.json") == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["synthesize"]
    figures = {name.removeprefix(f"{tmp_path / 'model'}: "): value for name, value in figures.items()}
    assert set(figures) == {
        *("reading clips", "reading shards", "from shards, all stages", "network", "vocoder"),
        *("one record", "one record in torch", "times as fast as torch"),
    }
    assert all(value > 0 for value in figures.values())
    # The whole cannot be faster than its parts, one after the other in one thread.
    parts = sum(1 / figures[stage] for stage in ("reading shards", "network", "vocoder"))
    assert 1 / figures["from shards, all stages"] >= 0.9 * parts


def test_numbers_of_steps_that_are_tried_beside_a_model_s_own():
    assert steps_tried({}) == steps_tried({"guidance": 1.0}) == [{}]
    assert steps_tried({"evaluations": 4.0, "guidance": 1.0}) == [{"evaluations": n} for n in (2.0, 4.0, 10.0)]
    assert steps_tried({"rounds": 1.0}) == [{"rounds": n} for n in (0.0, 1.0, 2.0)]


def test_both_sides_do_the_same_work(tiny, tmp_path):
    ours, theirs, _ = bench_models.gan_steps("small", tmp_path / "weights")
    # From the same weights: a loss left out or counted twice would show, and so would an update.
    for _ in range(3):
        assert float(ours()) == pytest.approx(theirs(), rel=0.01)


def test_unknown_names_are_refused():
    with pytest.raises(V2SError, match="bench knows no 'models2'"):
        run("models2")
    with pytest.raises(V2SError, match="bench models knows no 'resnet': choose from svts"):
        run("models", "--parts", "resnet", "--seconds", 0.01)
