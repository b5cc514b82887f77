"""What ships with the package, by name."""

import importlib.resources
import os
from pathlib import Path

from v2s_jax.models.settings import WEIGHTS


def assets() -> Path:
    """The folder of what ships with the package."""
    return Path(str(importlib.resources.files("v2s_jax"))) / "assets"


def shipped() -> list[str]:
    """Names of the models that ship with the package."""
    return sorted(path.parent.name for path in assets().glob(f"*/{WEIGHTS}"))


def at(name_or_path: str | os.PathLike) -> Path:
    """The folder of a shipped model if that is a name of one, which wins over a folder of that name; else the path."""
    return assets() / str(name_or_path) if str(name_or_path) in shipped() else Path(name_or_path)
