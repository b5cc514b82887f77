import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.models import toy_part
from v2s_jax.errors import V2SError
from v2s_jax.models import folder as folders
from v2s_jax.models.folder import read_model, save_model
from v2s_jax.models.registry import MODELS
from v2s_jax.models.rngs import Rngs

X = jnp.arange(6.0).reshape(2, 3)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(MODELS, "toy", "tests.models.toy_part:Toy")
    config = toy_part.default_config()
    module = toy_part.Toy(config, rngs=Rngs(0))
    module.norm.mean[...] = jnp.array([1.0, -1.0, 0.5])
    return config, module


@pytest.fixture
def folder(toy, tmp_path):
    save_model(tmp_path / "toy", *toy, {"source": "toy.pt", "crop": 88}, "# Toy\n")
    return tmp_path / "toy"


def test_saved_and_read_back(toy, folder):
    config, info, module = read_model(folder)
    assert config.to_dict() == toy[0].to_dict()  # with tuples, which JSON does not have
    assert info == {"source": "toy.pt", "crop": 88}
    expected = toy[1].linear((X - jnp.array([[1.0, -1.0, 0.5]])) / np.sqrt(1 + 1e-5))
    np.testing.assert_allclose(module(X), expected, atol=1e-5)
    assert (folder / "README.md").read_text() == "# Toy\n"


def test_half_precision_in_the_file_and_of_the_computation(toy, tmp_path):
    save_model(tmp_path / "half", *toy, {}, "", dtype="float16")
    weights = load_file(tmp_path / "half" / "model.safetensors")
    assert {name: value.dtype.name for name, value in weights.items()} == {
        "linear.kernel": "float16",
        "linear.bias": "float32",
        "norm.scale": "float32",
        "norm.bias": "float32",
        "norm.mean": "float32",
        "norm.var": "float32",
    }
    assert folders.stored("blocks.norm.scale", np.ones((4, 3)), "float16").dtype == np.float32  # of stacked layers
    _, _, module = read_model(tmp_path / "half", jnp.bfloat16)
    assert module(X).dtype == jnp.bfloat16 and module.linear.kernel.dtype == jnp.float32


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"model": {"name": "toy", "width": 3, "kernels": [[3, "1"]], "rate": 0.5}}, r"model.kernels\[0\]\[1\] is '1'"),
        ({"model": None, "system": {"name": "svts"}}, "holds a video-to-speech system, svts, where a part of one"),
        ({"model": {"name": "svts"}}, "expected a config whose model.name is one of avhubert"),
        ({"info": 3}, "info is '3', expected an object"),
    ],
)
def test_configs_that_describe_no_part(folder, changes, sentence):
    edit(folder, **changes)
    with pytest.raises(V2SError, match=sentence):
        read_model(folder)


def test_nothing_is_allocated_before_the_check(folder, monkeypatch):
    model = json.loads((folder / "config.json").read_text())["model"]
    edit(folder, model=model | {"width": 1 << 16})
    monkeypatch.setattr(folders, "_filled", None)
    with pytest.raises(V2SError, match=r"linear.kernel is \(3, 2\) instead of \(65536, 2\)"):
        read_model(folder)


def test_assemble(toy):
    weights = folders.flat_weights(toy[1])
    module = folders.assemble({"model": toy[0].to_dict()}, folders.PART, weights, "here")
    np.testing.assert_array_equal(module.norm.mean[...], toy[1].norm.mean[...])
    with pytest.raises(V2SError, match="here: .*unused stray"):
        folders.assemble({"model": toy[0].to_dict()}, folders.PART, weights | {"stray": X}, "here")
