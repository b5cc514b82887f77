"""Parts as the code that published them loads them."""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.interop.load import Info
from v2s_jax.models.folder import flat_weights, new_folder, stored, write_json, write_tensors
from v2s_jax.models.settings import CARD


def write_original(
    folder: str | os.PathLike, config: ConfigDict, module: nnx.Module, info: Info, card: str, dtype: str
) -> None:
    """Writes a part under the published names, in the published format, with a card; whole or not at all.

    Args:
        folder: must not exist yet, or be empty.
        config: of the part.
        module: the part.
        info: where it comes from.
        card: Markdown text for people.
        dtype: of matrices and kernels.

    Raises:
        V2SError: the format needs torch and there is none, or the folder is not empty or cannot be written.
    """
    weights = {name: np.asarray(value) for name, value in flat_weights(module).items()}
    weights = {name: stored(name, value, dtype) for name, value in weights.items()}
    kind = importlib.import_module(f"v2s_jax.interop.{config.name}")
    contents = kind.to_original(config.to_dict(), weights, info)
    with new_folder(folder) as temporary:
        (temporary / CARD).write_text(card, encoding="utf-8")
        for name, content in contents.items():
            _write(temporary / name, content)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    if path.suffix == ".json":
        write_json(path, content)
    elif path.suffix == ".safetensors":
        write_tensors(path, content, {"format": "pt"})  # transformers refuses files that do not say so
    else:
        try:
            import torch
        except ImportError as error:
            raise V2SError(f"{path.name} is written by PyTorch, which is not here; pip install torch") from error
        torch.save(_as_tensors(content, torch.from_numpy), path)


def _as_tensors(content: Any, convert: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _as_tensors(value, convert) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_as_tensors(value, convert) for value in content)
    # A copy, since torch shares memory and would warn of that of JAX, which is not to be written to.
    return convert(np.array(content)) if isinstance(content, np.ndarray) else content
