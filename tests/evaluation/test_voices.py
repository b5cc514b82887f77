import json

import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.small_diffv2s import small_config
from tests.small_model import save_small
from tests.small_vocoder import filled
from v2s_jax import cli
from v2s_jax.evaluation.voices import Voice, compare, table
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.systems.registry import build


def axis(number):
    return np.eye(256, dtype=np.float32)[number]


def test_figures_by_hand():
    """Two speakers on two axes: the faces of one are taken for the other's half of the time."""
    voices = [
        Voice("a", axis(0), axis(0), axis(0)),
        Voice("a", axis(1), axis(0), axis(0)),
        Voice("b", axis(1), axis(1), axis(1)),
        Voice("b", axis(1), axis(1), axis(1)),
    ]
    figures = compare(voices)
    assert figures["seen"] == {"retrieval": 0.75, "own": 0.75, "other": 0.25}
    assert figures["heard"] == {"retrieval": 1.0, "own": 1.0, "other": 0.0}
    assert "| by the face | 75.0 % | 0.750 | 0.250 |" in table(figures)
    assert np.isnan(compare(voices[:2])["seen"]["retrieval"])


def test_a_clip_does_not_name_itself():
    """A speaker's only clip cannot be found by its own embedding."""
    voices = [Voice("a", axis(0), axis(0), axis(0)), *[Voice("b", axis(1), axis(1), axis(1))] * 2]
    assert compare(voices)["seen"]["retrieval"] == pytest.approx(2 / 3)


def test_the_command(talker_tokens, tmp_path, capsys):
    config = ConfigDict({"system": small_config()})
    _, *states = nnx.split(filled(lambda: build(config.system, nnx.Rngs(0))), nnx.Param, ...)
    save_pretrained(tmp_path / "model", config, *map(nnx.to_pure_dict, states), "")
    data = ["--data", str(talker_tokens), "--split", "train"]
    options = ["--model", str(tmp_path / "model"), "--out", str(tmp_path / "figures.json")]
    assert cli.main(["voices", *data, *options]) == 0
    assert "clips of 2 speakers" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text())["speakers"] == 2
    save_small(tmp_path / "svts")
    assert cli.main(["voices", *data, "--model", str(tmp_path / "svts")]) == 1
    assert "name a diffv2s" in capsys.readouterr().err


def test_data_without_embeddings(talker_data, tmp_path, capsys):
    config = ConfigDict({"system": small_config()})
    _, *states = nnx.split(filled(lambda: build(config.system, nnx.Rngs(0))), nnx.Param, ...)
    save_pretrained(tmp_path / "model", config, *map(nnx.to_pure_dict, states), "")
    options = ["--model", str(tmp_path / "model"), "--data", str(talker_data), "--split", "train"]
    assert cli.main(["voices", *options]) == 1
    assert "prepare tokens" in capsys.readouterr().err
