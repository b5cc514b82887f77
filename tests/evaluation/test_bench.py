import argparse
import json

import pytest
import torch

from tests.small_vocoder import small_config
from v2s_jax.errors import V2SError
from v2s_jax.evaluation import bench, bench_models
from v2s_jax.models import speaker
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
    assert run("models", "--parts", "speaker,hifigan", "--seconds", 0.01, "--out", tmp_path / "figures.json") == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["models"]
    for name in ("speaker", "hifigan"):
        assert figures[f"{name} forward: largest difference to torch"] < 1e-5
        for work in ("forward, batch 1", "forward, batch 8", "training step"):
            ours, theirs = (figures[f"{name} {work}: seconds{end}"] for end in ("", " in torch"))
            assert ours > 0 and theirs > 0
            # Medians of pairs, so only about their ratio.
            assert figures[f"{name} {work}: times as fast as torch"] == pytest.approx(theirs / ours, rel=0.9)
    assert "hifigan training step: times as fast as torch" in capsys.readouterr().out


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
