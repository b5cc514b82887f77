import jax
import numpy as np
import pytest
import torch
from flax import nnx
from ml_collections import ConfigDict

from tests.interop.twins import copy_into, randomize
from v2s_jax.interop import torch as exported
from v2s_jax.interop.tables import speaker as table
from v2s_jax.interop.torch.speaker import SpeakerEncoder as Twin
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.speaker import SpeakerEncoder, default_config
from v2s_jax.systems import ge2e
from v2s_jax.systems.pretrained import save_pretrained


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
@pytest.mark.parametrize(
    "changes",
    [
        {},  # Resemblyzer's
        {"layers": 1, "hidden": 24, "dim": 16, "log": True},
        {"layers": 4, "hidden": 20, "projection": 12, "dim": 32, "mels": 13},
    ],
    ids=["published", "log", "projection"],
)
def test_embeddings_are_those_of_pytorch(changes):
    config = default_config("published")
    config.update(changes)
    theirs = randomize(Twin(config.to_dict()))
    ours = nnx.eval_shape(lambda: SpeakerEncoder(config, rngs=Rngs(0)))
    ours = copy_into(ours, theirs, table.entries(config.to_dict()))
    mel = np.random.default_rng(1).exponential(0.1, size=(3, 40, config.mels)).astype(np.float32)
    with torch.inference_mode():
        expected = theirs(torch.tensor(mel)).numpy()
    np.testing.assert_allclose(jax.jit(lambda mel: ours(mel))(mel), expected, atol=1e-5)


def test_a_system_loads_as_a_whole(tmp_path):
    config = ConfigDict({"system": ge2e.default_config()})
    config.system.encoder.update({"layers": 1, "hidden": 6, "dim": 8})
    system = ge2e.GE2E(config.system, rngs=Rngs(0))
    _, params, stats = nnx.split(system, nnx.Param, ...)
    save_pretrained(tmp_path / "ge2e", config, nnx.to_pure_dict(params), nnx.to_pure_dict(stats), "")
    mel = np.random.default_rng(1).exponential(0.1, size=(3, 40, 40)).astype(np.float32)
    with torch.inference_mode():
        found = exported.load(tmp_path / "ge2e")(torch.tensor(mel))
    np.testing.assert_allclose(found, system.encoder(jax.numpy.asarray(mel)), atol=1e-5)
