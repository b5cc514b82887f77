"""Through systems of both readers, ours and PyTorch's."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

import v2s_jax.interop.torch as interop
from tests.small_model import save_small
from v2s_jax import cli
from v2s_jax.errors import V2SError
from v2s_jax.models.folder import flat_weights
from v2s_jax.systems.pretrained import read_pretrained


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model, and one that has but its last layers of its own."""
    folder = tmp_path_factory.mktemp("pair")
    save_small(folder / "whole")
    assert (
        export(folder, "--share", "frontend=whole/frontend", "--share", "conformer/blocks=whole/conformer/blocks") == 0
    )
    return folder / "whole", folder / "part"


def export(folder, *options):
    return cli.main(["export", "--model", str(folder / "whole"), "--out", str(folder / "part"), *options])


def edit(folder, shared):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"shared": shared}))


def test_what_is_shared_is_read_from_the_other_folder(pair):
    whole, part = pair
    assert {name.split(".")[0] for name in load_file(part / "model.safetensors")} == {"head", "project"}
    (config, own), (_, other) = read_pretrained(part), read_pretrained(whole)
    assert "shared" not in config
    expected = flat_weights(other)
    found = flat_weights(own)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name])
    for name, value in interop.load(part).state_dict().items():
        np.testing.assert_array_equal(value, interop.load(whole).state_dict()[name])


def test_such_a_model_is_exported_as_a_whole(pair, tmp_path):
    whole, part = pair
    assert cli.main(["export", "--model", str(part), "--out", str(tmp_path / "again")]) == 0
    assert load_file(tmp_path / "again" / "model.safetensors").keys() == load_file(whole / "model.safetensors").keys()


def test_only_what_is_the_same_can_be_shared(tmp_path, capsys):
    save_small(tmp_path / "whole")
    assert export(tmp_path, "--dtype", "float16", "--share", "conformer=whole/conformer") == 1
    assert "is not what {'conformer': 'whole/conformer'} has" in capsys.readouterr().err
    assert export(tmp_path, "--share", "conformer=whole/nothing") == 1
    assert "there is no whole/nothing to share conformer with" in capsys.readouterr().err
    assert export(tmp_path, "--format", "stablehlo", "--share", "conformer=whole/conformer") == 1
    assert "--share is of a system's folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        export(tmp_path, "--share", "conformer")
    assert "'conformer': expected PART=FOLDER/PART" in capsys.readouterr().err
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize(
    "shared, sentence",
    [
        ({"conformer": "../whole/conformer"}, "expected such as"),
        ({"conformer": "/whole"}, "expected such as"),
        ({"conformer": "..\\whole/conformer"}, "expected such as"),
        ({"conformer": 3}, "expected such as"),
        (
            {"conformer.blocks": "whole/conformer/blocks"},
            "expected such as|does not accept dots",
        ),
        (["conformer"], "expected such as"),
        ({"conformer": "other/conformer"}, "other.model.safetensors: not readable"),
        ({"conformer": "whole/other"}, "there is no whole/other to share conformer with"),
        ({"head": "whole/head"}, "head.bias is shared and in model.safetensors, too"),
        ({"frontend": "whole/frontend"}, "missing conformer|the model lacks conformer"),
    ],
)
def test_shares_that_make_no_sense(pair, tmp_path, shared, sentence):
    shutil.copytree(pair[0].parent, tmp_path / "models")
    part = tmp_path / "models" / "part"
    edit(part, shared)
    for read in (read_pretrained, interop.load):
        with pytest.raises(V2SError, match=sentence):
            read(part)
