import json
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from v2s_jax import cli
from v2s_jax.interop.card import left_out
from v2s_jax.models.folder import read_model

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def run(*words):
    return cli.main([str(word) for word in words])


@pytest.fixture
def folder(toy, tmp_path, capsys):
    assert run("import", "toy", tmp_path / "toy.pt", "--out", tmp_path / "toy", "--config", "c.json") == 0
    return tmp_path / "toy"


def test_import_writes_a_folder_and_says_what_matters(toy, tmp_path, capsys):
    assert run("import", "toy", "there.pt", "--out", tmp_path / "toy") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{tmp_path / 'toy'}: toy, 14 parameters, 0.0 MB, from toy.pt (fine-tuned)")
    assert out[1:] == ["Left out: decoder (2 tensors), head.", "Licence: Toys are free."]
    config, info, module = read_model(tmp_path / "toy")
    assert config == toy[0] and info["audio"] == {"bins": 3} and info["left"] == ["decoder.w", "decoder.b", "head"]
    np.testing.assert_array_equal(module.linear.kernel[...], toy[1].linear.kernel[...])
    card = (tmp_path / "toy" / "README.md").read_text()
    for words in ("# toy", "Toys are free.", "`toy.pt`", "decoder (2 tensors), head", "load_toy('toy')"):
        assert words in card


def test_the_config_beside_the_file_is_handed_on(toy, folder, tmp_path):
    assert sys.modules["v2s_jax.interop.toy"].calls == [(str(tmp_path / "toy.pt"), "c.json")]


def test_a_taken_name_is_refused_before_the_file_is_read(toy, folder, capsys):
    sys.modules["v2s_jax.interop.toy"].calls.clear()
    assert run("import", "toy", "there.pt", "--out", folder) == 1
    assert "exists already" in capsys.readouterr().err
    assert sys.modules["v2s_jax.interop.toy"].calls == []


def test_left_out_is_summarised():
    assert left_out(["b.x", "b.y.z", "a", "c.d"]) == "a, b (2 tensors), c (1 tensor)"
    assert left_out([]) == ""


def test_export_of_a_part_keeps_card_and_origin(folder, tmp_path):
    assert run("export", "--model", folder, "--out", tmp_path / "again") == 0
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == json.loads(
        (folder / "config.json").read_text()
    )
    assert (tmp_path / "again" / "README.md").read_text() == (folder / "README.md").read_text()
    run("export", "--model", folder, "--out", tmp_path / "half", "--dtype", "float16")
    assert load_file(tmp_path / "half" / "model.safetensors")["linear.kernel"].dtype == np.float16


def test_export_in_the_original_layout(toy, folder, tmp_path, capsys):
    assert run("export", "--model", folder, "--out", tmp_path / "theirs", "--layout", "original") == 0
    written = torch.load(tmp_path / "theirs" / "toy.pt", weights_only=True)
    kernel = np.asarray(toy[1].linear.kernel[...]).T
    assert written["by"] == "toy.pt" and written["args"][:2] == [1, None]
    np.testing.assert_array_equal(written["model"]["fc.weight"], kernel)
    np.testing.assert_array_equal(written["args"][2]["w"], kernel)
    assert written["model"]["bn.num_batches_tracked"].dtype == torch.int64
    np.testing.assert_array_equal(load_file(tmp_path / "theirs" / "toy.safetensors")["fc.weight"], kernel)
    assert json.loads((tmp_path / "theirs" / "toy.json").read_text())["width"] == 3
    card = (tmp_path / "theirs" / "README.md").read_text()
    assert "Toys are free." in card and "as the code that published such parts loads them" in card
    with safe_open(tmp_path / "theirs" / "toy.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}


def test_original_layout_without_torch(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run("export", "--model", folder, "--out", tmp_path / "theirs", "--layout", "original") == 1
    assert "toy.pt is written by PyTorch, which is not here; pip install torch" in capsys.readouterr().err
    assert not (tmp_path / "theirs").exists()


def test_kinds_are_those_that_somebody_published(capsys):
    with pytest.raises(SystemExit):
        run("import", "--help")
    assert "avhubert,hubert,hifigan,speaker" in capsys.readouterr().out
