"""A model by name or path: a shipped one, an exported folder, or the workdir of a training run."""

import os
from pathlib import Path

import jax.numpy as jnp
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.models.settings import WEIGHTS
from v2s_jax.models.shipped import at, shipped
from v2s_jax.systems.base import System
from v2s_jax.systems.pretrained import assemble, read_pretrained
from v2s_jax.training.checkpoint import FOLDER, read_weights

DEFAULT = "talker-svts"


def locate(name_or_path: str | os.PathLike) -> Path:
    """The folder of a model; a shipped name wins over a folder of that name in the current one (write ./NAME for that).

    Raises:
        V2SError: neither a shipped name nor a folder with a model in it.
    """
    folder = at(name_or_path)
    if not folder.is_dir():
        raise V2SError(
            f"{name_or_path}: there is no such model; expected a shipped one "
            f"({', '.join(shipped()) or 'none'}), an exported folder or a training workdir"
        )
    if not is_workdir(folder) and not (folder / WEIGHTS).is_file():
        raise V2SError(
            f"{folder}: no model in this folder; expected {WEIGHTS} (of an exported model) or {FOLDER} (of a training)"
        )
    return folder


def is_workdir(folder: Path) -> bool:
    """Whether a model's folder is that of a training run."""
    return (folder / FOLDER).is_dir()


def load_pretrained(name_or_path: str | os.PathLike, dtype: DTypeLike = jnp.float32) -> tuple[ConfigDict, System]:
    """A trained model in evaluation mode; averaged weights where training kept averages.

    Args:
        name_or_path: of the model.
        dtype: of the computation; the weights are float32.

    Raises:
        V2SError: there is no such model, or it is damaged or of another config.
    """
    folder = locate(name_or_path)
    if is_workdir(folder):
        config, params, stats = read_weights(folder)
        return config, assemble(config, params, stats, folder, dtype)
    return read_pretrained(folder, dtype)
