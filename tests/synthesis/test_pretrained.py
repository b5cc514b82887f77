import shutil

import pytest

import v2s_jax.interop.torch
from v2s_jax.errors import V2SError
from v2s_jax.interop.card import parameters
from v2s_jax.models import shipped
from v2s_jax.synthesis.export_command import find
from v2s_jax.synthesis.pretrained import load_pretrained, locate


def test_exported_folder(model):
    config, system = load_pretrained(model)
    assert config.system.width == 16 and system.kind == "mel"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in shipped.assets().glob("*/model.safetensors")))
def test_what_ships_loads_here_and_in_pytorch_and_has_a_card(name):
    found = find(name)
    twin = v2s_jax.interop.torch.load(locate(name))
    assert 100_000 < sum(value.numel() for value in twin.parameters()) <= parameters(found.module) * 1.01
    card = found.card.lower()
    assert card.startswith(f"# {name}\n") and "licence" in card and "v2s-jax train" in card


def test_shipped_names_win_over_folders(model, tmp_path, monkeypatch):
    shutil.copytree(model, tmp_path / "assets" / "shipped-one")
    shutil.copytree(model, tmp_path / "here" / "shipped-one")
    monkeypatch.setattr(shipped, "assets", lambda: tmp_path / "assets")
    monkeypatch.chdir(tmp_path / "here")
    assert locate("shipped-one") == tmp_path / "assets" / "shipped-one"
    assert locate("./shipped-one") != tmp_path / "assets" / "shipped-one"
    with pytest.raises(V2SError, match=r"nothing: there is no such model; expected a shipped one \(shipped-one\)"):
        locate("nothing")


def test_folder_without_a_model(tmp_path):
    with pytest.raises(V2SError, match="no model in this folder"):
        load_pretrained(tmp_path)


def test_workdir_without_a_checkpoint(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(V2SError, match="checkpoint"):
        load_pretrained(tmp_path)
