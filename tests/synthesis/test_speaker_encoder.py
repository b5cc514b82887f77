import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.small_model import save_small
from v2s_jax.errors import V2SError
from v2s_jax.interop.original import write_original
from v2s_jax.models import speaker
from v2s_jax.models.folder import save_model
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.shipped import shipped
from v2s_jax.synthesis.speaker_encoder import DEFAULT_ENCODER, UtteranceEncoder
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.systems import ge2e
from v2s_jax.systems.pretrained import save_pretrained

WAVE = (0.1 * np.random.default_rng(0).normal(size=32000)).astype(np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One encoder as a system, as a part and as a published file."""
    root = tmp_path_factory.mktemp("encoders")
    config = ConfigDict({"system": ge2e.default_config()})
    config.system.encoder = speaker.default_config("published")
    config.system.encoder.update({"layers": 1, "hidden": 6, "dim": 8})
    system = ge2e.GE2E(config.system, rngs=Rngs(0))
    _, params, stats = nnx.split(system, nnx.Param, ...)
    save_pretrained(root / "system", config, nnx.to_pure_dict(params), nnx.to_pure_dict(stats), "")
    save_model(root / "part", config.system.encoder, system.encoder, {"source": "here"}, "")
    write_original(root / "original", config.system.encoder, system.encoder, {}, "", "float32")
    return root


def test_it_is_the_same_whatever_it_comes_from(folders):
    paths = (folders / "system", folders / "part", folders / "original" / "pretrained.pt")
    encoders = [UtteranceEncoder(path) for path in paths]
    assert [encoder.name for encoder in encoders] == ["system", "part", "pretrained.pt"]
    assert len({encoder.fingerprint for encoder in encoders}) == 1 and encoders[0].dim == 8
    for encoder in encoders:
        np.testing.assert_allclose(encoder(WAVE), encoders[0](WAVE), atol=1e-6)


def test_other_models_are_refused(tmp_path):
    save_small(tmp_path / "svts")
    with pytest.raises(V2SError, match="svts: holds no speaker encoder"):
        UtteranceEncoder(tmp_path / "svts")
    with pytest.raises(V2SError, match="there is no such model"):
        UtteranceEncoder("nowhere")


def test_an_encoder_in_training_is_not_asked_to_speak(folders):
    with pytest.raises(V2SError, match="the ge2e model makes no speech"):
        Synthesizer.from_pretrained(folders / "system")


def test_the_default_ships():
    assert DEFAULT_ENCODER in shipped()
