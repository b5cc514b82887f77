"""Published PyTorch files in, and folders that PyTorch runs out; see `load.py` for how a part joins."""

import importlib
from typing import Any

# By kind of part, and of module here. On demand, since they need jax, and `v2s_jax.interop.torch` is to do without.
LOADERS = {
    "avhubert": "load_avhubert",
    "hubert": "load_hubert",
    "hifigan": "load_hifigan",
    "spectral": "load_spectral",
    "speaker": "load_speaker_encoder",
}
OWN = frozenset({"spectral"})  # this project's, of which there are no published files


def __getattr__(name: str) -> Any:
    for kind, loader in LOADERS.items():
        if name == loader:
            return getattr(importlib.import_module(f"{__name__}.{kind}"), loader)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(LOADERS.values())
