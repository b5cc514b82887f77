import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax import interop
from v2s_jax.errors import V2SError
from v2s_jax.interop.load import assemble, load, weight_shapes
from v2s_jax.models.folder import flat_weights, save_model
from v2s_jax.models.registry import MODELS

SHAPES = {"linear.kernel": (3, 2), "linear.bias": (2,)} | {f"norm.{n}": (3,) for n in ("scale", "bias", "mean", "var")}
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def reader(toy, seen=None):
    """A `read` that gives the toy whatever the file."""

    def read(path, config):
        if seen is not None:
            seen.append((str(path), config))
        weights = {name: np.asarray(value) for name, value in flat_weights(toy[1]).items()}
        return toy[0], weights, {"source": "toy.pt", "licence": "free"}

    return read


def test_shapes_of_a_config(toy):
    assert weight_shapes(toy[0], "toy.pt") == SHAPES
    toy[0].width = -1
    with pytest.raises(V2SError, match="toy.pt: no toy model can be built"):
        weight_shapes(toy[0], "toy.pt")


def test_a_published_file(toy):
    seen: list = []
    model, info = load("there/toy.pt", reader(toy, seen), "toy", "conf.json")
    assert seen == [("there/toy.pt", "conf.json")] and info["licence"] == "free"
    np.testing.assert_allclose(model(X), toy[1].linear(jnp.asarray(X)), atol=1e-4)
    assert model.config == toy[0]


def test_a_folder_of_ours_and_one_of_others(toy, tmp_path):
    save_model(tmp_path / "ours", *toy, {"source": "toy.pt"}, "")
    model, info = load(tmp_path / "ours", reader(toy), "toy")
    np.testing.assert_allclose(model(X), load("toy.pt", reader(toy), "toy")[0](X), atol=1e-6)
    assert info == {"source": "toy.pt"}
    with pytest.raises(V2SError, match="ours: has its own config; leave conf.json out"):
        load(tmp_path / "ours", reader(toy), "toy", "conf.json")
    with pytest.raises(V2SError, match="ours: holds a part of kind toy, not hubert"):
        load(tmp_path / "ours", reader(toy), "hubert")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text('{"model_type": "toy"}')
    seen: list = []
    load(tmp_path / "theirs", reader(toy, seen), "toy")
    assert seen == [(str(tmp_path / "theirs"), None)]


def test_weights_of_another_config_name_the_file(toy):
    config, weights, info = reader(toy)("", None)
    with pytest.raises(V2SError, match="toy.pt: .*missing linear.bias"):
        assemble(config, {k: v for k, v in weights.items() if k != "linear.bias"}, info)


def test_every_part_has_a_loader():
    assert interop.LOADERS.keys() == MODELS.keys()
    assert all(callable(getattr(interop, name)) for name in dir(interop))
    with pytest.raises(AttributeError, match="load_toy"):
        _ = interop.load_toy
