import importlib
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import v2s_jax.interop.torch as interop
from tests.small_model import save_small, small_config
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models.registry import MODELS
from v2s_jax.systems.pretrained import read_pretrained
from v2s_jax.systems.registry import SYSTEMS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch") / "small"
    save_small(folder)
    return folder


def inputs():
    mouth = np.random.default_rng(0).integers(0, 256, (1, 5, 88, 88), dtype=np.uint8)
    return mouth, np.array([5], np.int32)


def test_an_exported_system_speaks_the_same(folder):
    mouth, length = inputs()
    _, system = read_pretrained(folder)
    expected = jax.jit(lambda b: system.synthesize(b))(Batch(jnp.asarray(length), jnp.asarray(mouth)))
    model = interop.load(folder)
    assert not model.training
    with torch.inference_mode():
        np.testing.assert_allclose(model(torch.tensor(mouth), torch.tensor(length)), expected, atol=1e-4)


def test_no_jax_is_needed(folder):
    code = (
        "import sys\n"
        "for name in ('jax', 'jaxlib', 'flax', 'ml_dtypes'): sys.modules[name] = None\n"
        "import torch\n"
        "from v2s_jax.interop.torch import load\n"
        f"model = load({str(folder)!r})\n"
        "mel = model(torch.zeros(1, 5, 88, 88, dtype=torch.uint8), torch.tensor([5]))\n"
        "print(*mel.shape)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1 20 80\n", "")


def test_every_system_and_part_has_a_module_and_a_table():
    assert {key: set(names) for key, names in interop._MODULES.items()} == {"system": {*SYSTEMS}, "model": {*MODELS}}
    for twin in (twin for section in interop._MODULES.values() for twin in section.values()):
        for package, name in (("torch", twin.module), ("tables", twin.table)):
            module, attribute = name.split(":")
            assert callable(getattr(importlib.import_module(f"v2s_jax.interop.{package}.{module}"), attribute))


@pytest.mark.parametrize(
    "section, changes, sentence",
    [
        ("system", {"blocks": 2}, "no model that this version exports .*the model lacks conformer.blocks.1"),
        ("system", {"width": 24}, "no model that this version exports .*size mismatch"),
        ("system", {"activation": "gelu"}, "no model that this version exports .*gelu"),
        ("system", {"name": "os.system"}, "config.json: expected the config of a system of name svts"),
        ("system", {"name": ["svts"]}, "config.json: expected the config of a system of name svts"),
        ("model", {}, "config.json: expected the config of a system of name svts"),
    ],
)
def test_config_and_weights_of_different_models(tmp_path, section, changes, sentence):
    save_small(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps({section: json.loads(path.read_text())["system"] | changes}))
    with pytest.raises(V2SError, match=sentence) as error:
        interop.load(tmp_path / "m")
    assert "\n" not in str(error.value)


def test_damaged_files(tmp_path):
    save_small(tmp_path / "m", small_config())
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(V2SError, match="model.safetensors: not readable"):
        interop.load(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("{")
    with pytest.raises(V2SError, match="config.json: not readable"):
        interop.load(tmp_path / "m")
