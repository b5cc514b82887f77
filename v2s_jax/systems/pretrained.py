"""A trained system as a folder to hand on; see `models/folder.py`, which parts share."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.models import folder as folders
from v2s_jax.models.registry import DENOISERS
from v2s_jax.models.settings import Section
from v2s_jax.systems.base import System
from v2s_jax.systems.registry import SYSTEMS

SYSTEM = Section("system", SYSTEMS, {**DENOISERS, **SYSTEMS})  # a system may have another inside, as AV2A's base


def save_pretrained(
    folder: str | os.PathLike,
    config: ConfigDict,
    params: Mapping[Any, Any],
    stats: Mapping[Any, Any],
    card: str,
    dtype: str = "float32",
    shared: Mapping[str, str] | None = None,
) -> None:
    """Writes a system as a folder, whole or not at all.

    Args:
        folder: must not exist yet, or be empty.
        config: the whole experiment. The paths of its data set and of the weights it began with are cut to their last
            names: they mean nothing elsewhere.
        params: nested dict of arrays, as `nnx.to_pure_dict` gives.
        stats: likewise, every variable that is no parameter.
        card: Markdown text for people: data, command, hardware, figures, licence.
        dtype: of matrices and kernels in the file; see `models.folder.write_folder`.
        shared: parts left to folders beside it; see there, too.

    Raises:
        V2SError: the folder is not empty or cannot be written, a weight does not fit `dtype`, or what is to be shared
            is not the same there.
    """
    content = json.loads(config.to_json())
    for settings in (content, *content.get("stages", {}).values()):
        _cut_paths(settings)
    folders.write_folder(folder, content, params, stats, card, dtype, shared)


def _cut_paths(settings: dict[str, Any]) -> None:
    """Leaves the last names of the paths of data and of weights in the settings of an experiment or a stage."""
    for section, name in (("data", "path"), ("train", "init_from")):
        if settings.get(section, {}).get(name):
            settings[section][name] = ",".join(Path(path).name for path in settings[section][name].split(","))
    for entry in settings.get("train", {}).get("grafts", ()):
        entry[0] = Path(entry[0]).name


def read_pretrained(folder: str | os.PathLike, dtype: DTypeLike = jnp.float32) -> tuple[ConfigDict, System]:
    """The system of a folder that `save_pretrained` wrote, in evaluation mode, with the whole config.

    Args:
        folder: its path.
        dtype: of the computation; the weights are float32.

    Raises:
        V2SError: a file is missing or damaged, or config and weights are of different models, or of no system.
    """
    return folders.read_folder(folder, SYSTEM, dtype)


def assemble(
    config: ConfigDict,
    params: Mapping[Any, Any],
    stats: Mapping[Any, Any],
    where: str | os.PathLike,
    dtype: DTypeLike = jnp.float32,
) -> System:
    """The system of a config with the given weights, in evaluation mode.

    Args:
        config: the whole experiment.
        params: nested dict of arrays.
        stats: nested dict of arrays, every variable that is no parameter.
        where: what to name in an error.
        dtype: of the computation; the weights are float32.

    Raises:
        V2SError: the weights are not those of the config's system.
    """
    weights = folders.flat_names(params) | folders.flat_names(stats)
    return folders.assemble(config.to_dict(), SYSTEM, weights, where, dtype)


def change_settings(
    config: ConfigDict, system: System, settings: Mapping[str, Any], where: str | os.PathLike
) -> tuple[ConfigDict, System]:
    """A loaded model with other settings in its `system` section and the same weights, which must fit them.

    Args:
        config: the whole experiment; it stays as it is.
        system: likewise.
        settings: by dotted names or nested, such as {"speaker": "none", "sampler": {"solver": "ddim"}}.
        where: what to name in an error.

    Returns:
        The changed config and system, the latter in evaluation mode and float32.

    Raises:
        V2SError: there is no such setting, its value is none of its kind, or the weights do not fit it.
    """
    content = config.to_dict()
    known = folders.flat_names(content["system"])
    chosen = dict(_dotted(settings))
    for name, value in chosen.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise V2SError(f"{where}: its config has no setting system.{name}; {hint}")
        *above, last = name.split(".")
        section = content["system"]
        for key in above:
            section = section[key]
        section[last] = value
    weights = folders.flat_weights(cast(nnx.Module, system))
    changes = ", ".join(f"system.{name} = {value!r}" for name, value in chosen.items())
    return ConfigDict(content), folders.assemble(content, SYSTEM, weights, f"{where} with {changes}")


def _dotted(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{below}", entry) for below, entry in _dotted(value))
        else:
            yield name, value
