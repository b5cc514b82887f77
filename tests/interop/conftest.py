import sys
import types

import numpy as np
import pytest

from tests.models import toy_part
from v2s_jax.interop import LOADERS
from v2s_jax.interop.table import batch_norm, export_weights, import_weights, linear
from v2s_jax.models.folder import flat_weights
from v2s_jax.models.registry import MODELS
from v2s_jax.models.rngs import Rngs

ENTRIES = [*linear("fc", "linear"), *batch_norm("bn", "norm")]


@pytest.fixture
def toy(monkeypatch):
    """A kind of part called `toy`, whose published files hold what the fixture gives: its config and a module."""
    config = toy_part.default_config()
    module = toy_part.Toy(config, rngs=Rngs(0))
    state = export_weights(ENTRIES, {name: np.asarray(value) for name, value in flat_weights(module).items()})
    kind = types.ModuleType("v2s_jax.interop.toy")
    kind.calls = []

    def read(path, config_path=None):
        kind.calls.append((str(path), config_path and str(config_path)))
        shapes = {name: value.shape for name, value in flat_weights(module).items()}
        weights, left = import_weights(
            ENTRIES, state | {"decoder.w": 0, "decoder.b": 0, "head": 0}, shapes, path, _left
        )
        info = {
            "source": "toy.pt",
            "kind": "fine-tuned",
            "left": left,
            "licence": "Toys are free.",
            "audio": {"bins": 3},
        }
        return config, weights, info

    def to_original(config, weights, info):
        weights = export_weights(ENTRIES, weights)
        return {
            "toy.pt": {"model": weights, "args": [1, None, {"w": weights["fc.weight"]}], "by": info["source"]},
            "toy.safetensors": weights,
            "toy.json": config,
        }

    kind.read, kind.to_original = read, to_original
    monkeypatch.setitem(sys.modules, "v2s_jax.interop.toy", kind)
    monkeypatch.setitem(LOADERS, "toy", "load_toy")
    monkeypatch.setitem(MODELS, "toy", "tests.models.toy_part:Toy")
    return config, module


def _left(key):
    return key.startswith(("decoder.", "head"))
