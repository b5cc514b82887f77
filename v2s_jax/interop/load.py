"""From a published file or an imported folder to a part that can be called.

What each kind of part brings is a module `v2s_jax.interop.<kind>` with

    read(path, config=None) -> (config, weights, info)
        A published file in our terms: the part's config (as its `default_config()`, a `ConfigDict`), its weights
        (float32 arrays by dotted path, from `table.import_weights` with `weight_shapes(config, path)`) and where they
        come from, in JSON's kinds: image and audio settings, `kind` of checkpoint, `left` (names of the tensors left
        out), `licence` (a sentence), `source` (the file's name). `config` is a path to what some kinds keep beside
        the file. The path may also be a folder that is not ours.
    to_original(config, weights, info) -> {file name: content}
        Back again, for the code that published it. A content is a dict: under a name that ends in `.safetensors` of
        arrays, in `.json` of JSON's kinds, otherwise of anything that `torch.save` takes, arrays becoming tensors.
        `config` is a plain dict.
    load_<...>(path, config=None)
        What users call; `load` below does the work.

and a table, `v2s_jax.interop.tables.<kind>`.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.models import folder as folders
from v2s_jax.models.inference import Inference
from v2s_jax.models.settings import checked_config, section_of

Info = dict[str, Any]
Reader = Callable[[Any, Any], tuple[ConfigDict, Mapping[str, Any], Info]]


def weight_shapes(config: ConfigDict, where: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights of the part that a config describes, by dotted path.

    Args:
        config: of the part.
        where: the file, to be named in an error.

    Raises:
        V2SError: no part can be built from the config.
    """
    checked = checked_config({"model": config.to_dict()}, folders.PART, Path(where))
    abstract = folders.abstract_module(checked.model, folders.PART, where)
    return {name: tuple(leaf.shape) for name, leaf in folders.flat_weights(abstract).items()}


def assemble(
    config: ConfigDict, weights: Mapping[str, Any], info: Info, dtype: DTypeLike = jnp.float32
) -> tuple[Inference, Info]:
    """What `read` gives, as a part that can be called.

    Args:
        config: of the part.
        weights: arrays by dotted path; kept as float32.
        info: where they come from.
        dtype: of the computation.

    Raises:
        V2SError: config and weights are not of one part.
    """
    where = info.get("source", config.get("name", "model"))
    module = folders.assemble({"model": config.to_dict()}, folders.PART, weights, where, dtype)
    return Inference(module, config), info


def load(
    path: str | os.PathLike,
    read: Reader,
    kind: str,
    config: str | os.PathLike | None = None,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Inference, Info]:
    """The part of a published file, or of a folder that `v2s-jax import` or `save_model` wrote.

    Args:
        path: the file or folder.
        read: of the kind's module.
        kind: of part, its name in `models.registry.MODELS`.
        config: what `read` takes; not for folders, which have their own.
        dtype: of the computation.

    Raises:
        V2SError: there is no such file, it is damaged or hostile, or holds something else.
    """
    if section_of(path) is None:  # a folder may also be of others' kinds
        return assemble(*read(path, config), dtype)
    if config is not None:
        raise V2SError(f"{path}: has its own config; leave {config} out")
    found, info, module = folders.read_model(path, dtype)
    if found.name != kind:
        raise V2SError(f"{path}: holds a part of kind {found.name}, not {kind}")
    return Inference(module, found), info
