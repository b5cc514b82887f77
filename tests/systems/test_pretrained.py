import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tests import small_av2a, small_diffv2s
from tests.small_model import small_config, small_weights
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models import folder as folders
from v2s_jax.models.modality_norm import VIDEO
from v2s_jax.systems.pretrained import assemble, read_pretrained, save_pretrained


@pytest.fixture(scope="module")
def small():
    config = small_config()
    return config, *small_weights(config)


def speak(system):
    """The log-mel of one clip, compiled as a whole."""
    return jax.jit(lambda b: system.synthesize(b))(batch())


@pytest.fixture
def folder(small, tmp_path):
    save_pretrained(tmp_path / "model", *small, card="# A card\n")
    return tmp_path / "model"


def batch(frames=6):
    mouth = np.random.default_rng(0).integers(0, 256, (1, frames, 88, 88), np.uint8)
    return Batch(length=jnp.array([frames]), mouth=jnp.asarray(mouth))


def test_saved_and_read_back_is_the_same_model_in_evaluation_mode(small, folder):
    config, params, stats = small
    read_config, system = read_pretrained(folder)
    expected = assemble(config, params, stats, "here")
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors"]
    assert (folder / "README.md").read_text() == "# A card\n"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {(folder / "README.md").stat().st_mode & 0o777}
    assert json.loads(read_config.to_json())["system"] == json.loads(config.to_json())["system"]
    # Evaluation mode: dropout would ask for rngs, and moving statistics would raise inside jit.
    np.testing.assert_array_equal(speak(system), speak(expected))
    np.testing.assert_array_equal(system.frontend.stem_bn.mean[...], stats["frontend"]["stem_bn"]["mean"])


def test_paths_are_cut_to_their_names(small, tmp_path):
    config = small[0].copy_and_resolve_references()
    config.data.path = "/home/me/one,/home/me/two"
    config.train.grafts = (("/home/me/runs/face", "frontend", "frontend"), ("talker-svts", "a/b", "c"))
    config.stages = ConfigDict({"first": {"data": {"path": "/home/me/three"}}, "second": {"train": {"steps": 3}}})
    save_pretrained(tmp_path / "cut", config, *small[1:], card="")
    text = (tmp_path / "cut" / "config.json").read_text()
    written = json.loads(text)
    assert "/home" not in text and "private" not in text
    assert (written["data"]["path"], written["train"]["init_from"]) == ("one,two", "run")
    assert written["train"]["grafts"] == [["face", "frontend", "frontend"], ["talker-svts", "a/b", "c"]]
    assert written["stages"] == {"first": {"data": {"path": "three"}}, "second": {"train": {"steps": 3}}}


def test_half_precision_keeps_vectors_and_statistics(small, tmp_path):
    save_pretrained(tmp_path / "half", *small, card="", dtype="float16")
    weights = load_file(tmp_path / "half" / "model.safetensors")
    assert weights["head.kernel"].dtype == np.float16
    assert weights["head.bias"].dtype == np.float32
    assert weights["frontend.stem_bn.mean"].dtype == np.float32
    _, system = read_pretrained(tmp_path / "half")
    assert system.head.kernel.dtype == jnp.float32
    exact = speak(assemble(*small, "here"))
    assert 0 < abs(speak(system) - exact).max() < 0.05


def test_weights_beyond_half_precision_are_refused(small, tmp_path):
    config, params, stats = small
    params = params | {"head": params["head"] | {"kernel": params["head"]["kernel"] + 1e6}}
    with pytest.raises(V2SError, match="head.kernel has values that are not finite as float16"):
        save_pretrained(tmp_path / "half", config, params, stats, "", dtype="float16")
    assert not list(tmp_path.iterdir())


def test_unknown_dtype(small, tmp_path):
    with pytest.raises(V2SError, match="int3"):
        save_pretrained(tmp_path / "x", *small, card="", dtype="int3")


def test_folder_with_files_is_never_overwritten(small, folder):
    with pytest.raises(V2SError, match="exists already"):
        save_pretrained(folder, *small, card="other")
    assert (folder / "README.md").read_text() == "# A card\n"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("No space left")])
def test_nothing_is_left_when_writing_fails(small, tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(folders, "save_file", full)
    with pytest.raises(V2SError, match="No space left"):
        save_pretrained(tmp_path / "model", *small, card="")
    assert not list(tmp_path.iterdir())


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config["system"].update(changes)
    (folder / "config.json").write_text(json.dumps(config))


def test_weights_of_another_config_are_all_listed(folder):
    edit(folder, blocks=2, speaker_embedding=True)
    with pytest.raises(V2SError, match="a model of another config") as error:
        read_pretrained(folder)
    message = str(error.value)
    assert "missing conformer.blocks.1.norm.scale" in message
    assert "project.kernel is (8, 16) instead of (264, 16)" in message
    assert "\n" not in message
    edit(folder, blocks=0, speaker_embedding=False)
    with pytest.raises(V2SError, match="unused conformer.blocks.0.norm.scale"):
        read_pretrained(folder)


def test_a_folder_of_before_remat_was_a_name_is_read(folder):
    edit(folder, remat=True)
    assert read_pretrained(folder)[0].system.remat == "nothing_saveable"
    config = json.loads((folder / "config.json").read_text())
    del config["system"]["remat"]
    (folder / "config.json").write_text(json.dumps(config))
    assert read_pretrained(folder)[0].system.remat == "everything_saveable"


def test_assemble_refuses_too(small):
    config, params, stats = small
    params = {name: value for name, value in params.items() if name != "head"}
    with pytest.raises(V2SError, match="missing head.bias; missing head.kernel"):
        assemble(config, params, stats, "workdir")


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"name": "os.system"}, "system.name is one of"),
        ({"name": ["svts"]}, "system.name is one of"),
        ({"extra": 1}, "unknown system.extra"),
        ({"width": "wide"}, "system.width is 'wide'"),
        ({"width": True}, "system.width is 'True'"),
        ({"width": 10**9}, "the most is"),
        ({"dropout": float("nan")}, "system.dropout is nan"),
        ({"resnet": [4] * 100}, "system.resnet has 100 entries"),
        ({"resnet": "abc"}, "system.resnet is"),
        ({"activation": "gelu"}, "no svts system can be built"),
        ({"heads": 0}, "no svts system can be built"),
    ],
)
def test_configs_that_describe_no_model(folder, changes, sentence):
    edit(folder, **changes)
    with pytest.raises(V2SError, match=sentence):
        read_pretrained(folder)


def test_a_part_is_no_system(folder):
    (folder / "config.json").write_text('{"model": {"name": "hubert"}, "info": {}}')
    with pytest.raises(
        V2SError, match=r"holds a part of one \(.*\), hubert, where a video-to-speech system is expected"
    ):
        read_pretrained(folder)


def test_missing_key(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["system"]["width"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(V2SError, match="missing system.width"):
        read_pretrained(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"system": 3}', "{" * 100_000, "[" * 100_000, " " * (1 << 21)])
def test_files_that_are_no_config(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(V2SError, match="config.json"):
        read_pretrained(folder)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:200], lambda b: b[:-4], lambda b: b"\xff" * 64])
def test_damaged_weights(folder, damage):
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(V2SError, match="model.safetensors: not readable"):
        read_pretrained(folder)


def test_missing_files(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(V2SError, match="model.safetensors: not readable"):
        read_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(V2SError, match="config.json: not readable"):
        read_pretrained(folder)


def test_weights_of_another_type(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["head.bias"] = weights["head.bias"].astype(np.int32)
    save_file(weights, path)
    with pytest.raises(V2SError, match="head.bias are not float32"):
        read_pretrained(folder)


@pytest.mark.parametrize("decoder", ["mel_transformer", "dit"])
def test_a_part_chosen_by_name_has_its_own_settings(decoder, tmp_path):
    system = small_diffv2s.small_config(decoder)
    system.sampler.eta = 0.5
    config = small_diffv2s.save_small(tmp_path / "model", system=system)
    found, system = read_pretrained(tmp_path / "model")
    assert found.system.to_dict() == config.system.to_dict()
    assert type(system.decoder).__name__.lower() == decoder.replace("_", "")
    edited = json.loads((tmp_path / "model" / "config.json").read_text())
    edited["system"]["decoder"]["heads_of_state"] = 3
    (tmp_path / "model" / "config.json").write_text(json.dumps(edited))
    with pytest.raises(V2SError, match="unknown system.decoder.heads_of_state"):
        read_pretrained(tmp_path / "model")


@pytest.mark.parametrize("procedure", ["dropout", "both", "video"])
def test_a_waveform_system_is_read_back(procedure, tmp_path):
    section = small_av2a.small_wave_config(procedure)
    config = small_diffv2s.save_small(tmp_path / "model", system=section)
    assert read_pretrained(tmp_path / "model")[0].system.to_dict() == config.system.to_dict()


def test_a_system_inside_another_may_be_of_any_kind(tmp_path):
    """What `configs/av2a_grid.py:both,pretrained` trains: its base is an AV2A's V2A, not an svts."""
    section = small_av2a.small_config("both", base="v2a")
    section.v2a = small_av2a.small_config("video")
    config = small_diffv2s.save_small(tmp_path / "model", system=section)
    found, system = read_pretrained(tmp_path / "model")
    assert found.system.to_dict() == config.system.to_dict() and system.base.state == VIDEO
    edited = json.loads((tmp_path / "model" / "config.json").read_text())
    edited["system"]["v2a"]["colour"] = 3
    (tmp_path / "model" / "config.json").write_text(json.dumps(edited))
    with pytest.raises(V2SError, match="unknown system.v2a.colour"):
        read_pretrained(tmp_path / "model")
