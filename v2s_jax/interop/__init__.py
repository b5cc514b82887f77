"""Published PyTorch files in, and folders that PyTorch runs out; see `load.py` for how a part joins."""

import importlib
from typing import Any

_LOADERS = {
    "load_avhubert": "v2s_jax.interop.avhubert",
    "load_hubert": "v2s_jax.interop.hubert",
    "load_hifigan": "v2s_jax.interop.hifigan",
    "load_speaker_encoder": "v2s_jax.interop.speaker",
}


def __getattr__(name: str) -> Any:
    # On demand, since they need jax, and `v2s_jax.interop.torch` is to be imported without it.
    if name not in _LOADERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LOADERS[name]), name)


def __dir__() -> list[str]:
    return sorted(_LOADERS)
