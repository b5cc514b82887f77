import jax
import numpy as np
import pytest
import torch
from flax import nnx
from ml_collections import ConfigDict

from tests.small_vocoder import filled, small_spectral_config
from v2s_jax.errors import V2SError
from v2s_jax.interop import load_hifigan, load_spectral, spectral
from v2s_jax.interop.torch import load
from v2s_jax.models.folder import save_model
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.systems.registry import build


def small_system():
    return filled(lambda: build(small_spectral_config(), Rngs(0)))


def mels():
    return np.random.default_rng(0).normal(-3, 1, (1, 7, 80)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spectral") / "part"
    save_model(folder, small_spectral_config().generator, small_system().generator, {"source": "here"}, "")
    return folder


def test_a_folder_loads_in_jax_and_in_torch(folder):
    model, info = load_spectral(folder)
    assert info["source"] == "here"
    with torch.inference_mode():
        expected = load(folder).log_magnitude(torch.tensor(mels()).transpose(1, 2))
    np.testing.assert_allclose(jax.jit(model.module.log_magnitude)(mels()), expected, atol=1e-5)
    assert model(mels()).shape == (1, 1120)


def test_a_whole_system_runs_in_torch(folder, tmp_path):
    _, *states = nnx.split(small_system(), nnx.Param, ...)
    config = ConfigDict({"system": small_spectral_config()})
    save_pretrained(tmp_path / "whole", config, *map(nnx.to_pure_dict, states), "")
    with torch.inference_mode():
        one, other = (load(path)(torch.tensor(mels()).transpose(1, 2)) for path in (folder, tmp_path / "whole"))
    assert one.shape == (1, 1, 1120)
    np.testing.assert_array_equal(one, other)


def test_what_is_no_such_vocoder(folder, tmp_path):
    with pytest.raises(V2SError, match="holds a part of kind spectral, not hifigan"):
        load_hifigan(folder)
    (tmp_path / "other.pt").write_bytes(b"torch")
    with pytest.raises(V2SError, match="no folder of a spectral vocoder"):
        load_spectral(tmp_path / "other.pt")
    with pytest.raises(V2SError, match="never published in another layout"):
        spectral.to_original({}, {}, {})
