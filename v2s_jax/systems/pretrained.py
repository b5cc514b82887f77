"""A trained model as a folder to hand on: config.json, model.safetensors and README.md, its card.

Nothing in such a folder is ever executed: the config is plain JSON whose `system` section is checked key by key against
the system's own defaults, and the weights are read only after every name, shape and type in their header was checked
against the model that the config describes.
"""

import contextlib
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from ml_collections import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from v2s_jax.errors import V2SError
from v2s_jax.systems.base import System
from v2s_jax.systems.registry import SYSTEMS, build

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
DTYPES = ("float32", "float16")
_MAX_CONFIG_BYTES = 1 << 20
_MAX_NUMBER = 1 << 16  # of any size in a config, so that a mistaken one costs a sentence and not the memory
_MAX_ENTRIES = 64  # of any list in a config
_STORED = {"F32": np.float32, "F16": np.float16}  # safetensors' names of the types that `save_pretrained` writes


def save_pretrained(
    folder: str | os.PathLike,
    config: ConfigDict,
    params: Mapping[Any, Any],
    stats: Mapping[Any, Any],
    card: str,
    dtype: str = "float32",
) -> None:
    """Writes a model folder, whole or not at all.

    Args:
        folder: must not exist yet, or be empty.
        config: the whole experiment. The paths of its data set and of the weights it began with are cut to their last
            names: they mean nothing elsewhere.
        params: nested dict of arrays, as `nnx.to_pure_dict` gives.
        stats: likewise, every variable that is no parameter.
        card: Markdown text for people: data, command, hardware, figures, licence.
        dtype: of matrices and kernels in the file. Vectors (biases, norms) and statistics are few and stay float32.

    Raises:
        V2SError: the folder is not empty or cannot be written, or a weight does not fit `dtype`.
    """
    if dtype not in DTYPES:
        raise V2SError(f"weights cannot be stored as {dtype!r}; known are {', '.join(DTYPES)}")
    config = ConfigDict(json.loads(config.to_json()))
    for section, name in (("data", "path"), ("train", "init_from")):
        if config.get(section, {}).get(name):
            config[section][name] = Path(config[section][name]).name
    weights = {name: _stored(name, value, dtype) for name, value in flat_names(params).items()}
    weights |= {name: _stored(name, value, "float32") for name, value in flat_names(stats).items()}
    with _new_folder(Path(folder)) as temporary:
        (temporary / CONFIG).write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
        (temporary / CARD).write_text(card, encoding="utf-8")
        (temporary / WEIGHTS).write_bytes(save(weights))  # save_file would make it unreadable for others


def read_pretrained(folder: str | os.PathLike) -> tuple[ConfigDict, System]:
    """The model of a folder that `save_pretrained` wrote, in evaluation mode and float32.

    Raises:
        V2SError: a file is missing or damaged, or config and weights are of different models.
    """
    config_path, weights_path = Path(folder) / CONFIG, Path(folder) / WEIGHTS
    config = checked_config(_read_json(config_path), config_path)
    abstract = _abstract_system(config, config_path)
    try:
        with safe_open(weights_path, "numpy") as file:
            _check_header(abstract, file, weights_path)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file, not a dict)
    except (OSError, SafetensorError) as error:
        raise V2SError(f"{weights_path}: not readable as a model's weights ({error}); fetch the model again") from error
    return config, _filled(abstract, weights)


def assemble(
    config: ConfigDict, params: Mapping[Any, Any], stats: Mapping[Any, Any], where: str | os.PathLike
) -> System:
    """The system of a config with the given weights, in evaluation mode and float32.

    Args:
        config: the whole experiment.
        params: nested dict of arrays.
        stats: nested dict of arrays, every variable that is no parameter.
        where: what to name in an error.

    Raises:
        V2SError: the weights are not those of the config's system.
    """
    checked_config(config.to_dict(), Path(where))
    abstract = _abstract_system(config, Path(where))
    weights = flat_names(params) | flat_names(stats)
    _check_shapes(abstract, {name: tuple(value.shape) for name, value in weights.items()}, Path(where))
    return _filled(abstract, weights)


def flat_names(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """Leaves of a nested dict by the names that weights have in a file, such as `conformer.blocks.0.norm.scale`."""
    return {".".join(map(str, keys)): leaf for keys, leaf in traverse_util.flatten_dict(dict(tree)).items()}


def checked_config(config: Any, where: Path) -> ConfigDict:
    """The config if its `system` section has exactly the keys and types of the system's defaults.

    Other sections say where the model comes from and build nothing; they are taken as they are.

    Raises:
        V2SError: it has not.
    """
    system = config.get("system") if isinstance(config, dict) else None
    if not isinstance(system, dict) or system.get("name") not in SYSTEMS:
        raise V2SError(f"{where}: expected a config whose system.name is one of {', '.join(SYSTEMS)}")
    module = importlib.import_module(SYSTEMS[system["name"]].split(":")[0])
    problems = list(_mistakes(system, module.default_config().to_dict(), "system"))
    if problems:
        raise V2SError(f"{where}: not a config of this version's {system['name']} system ({'; '.join(problems)})")
    return ConfigDict(config)


def _mistakes(value: Any, default: Any, path: str) -> Iterator[str]:
    """What in a JSON value differs in kind from a default, as parts of a sentence."""
    if isinstance(default, dict) and isinstance(value, dict):
        yield from (f"unknown {path}.{name}" for name in value.keys() - default.keys())
        yield from (f"missing {path}.{name}" for name in default.keys() - value.keys())
        for name in value.keys() & default.keys():
            yield from _mistakes(value[name], default[name], f"{path}.{name}")
    elif isinstance(default, list | tuple) and isinstance(value, list | tuple):
        if len(value) > _MAX_ENTRIES:
            yield f"{path} has {len(value)} entries, at most {_MAX_ENTRIES} are allowed"
        elif default:
            for index, entry in enumerate(value):
                yield from _mistakes(entry, default[0], f"{path}[{index}]")
    elif default is not None and not _same_kind(value, default):
        yield f"{path} is {str(value)[:40]!r}, expected a value such as {default!r}"
    elif isinstance(value, int | float) and not abs(value) <= _MAX_NUMBER:
        yield f"{path} is {value}, the most is {_MAX_NUMBER}"


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise V2SError(f"{path}: larger than a config can be; expected a small JSON file")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise V2SError(f"{path}: not readable as a model's config ({error}); expected a JSON file") from error


def _abstract_system(config: ConfigDict, where: Path) -> Any:
    """The system with shapes for weights: nothing of their size is allocated."""
    try:
        return nnx.eval_shape(lambda: build(config.system, nnx.Rngs(0), jnp.dtype("float32")))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise V2SError(f"{where}: no {config.system.name} system can be built from its settings ({reason})") from error


def _shapes(abstract: nnx.Module) -> dict[str, tuple[int, ...]]:
    return {name: leaf.shape for name, leaf in flat_names(nnx.to_pure_dict(nnx.state(abstract))).items()}


def _check_header(abstract: nnx.Module, file: Any, path: Path) -> None:
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (a file, not a dict)
    _check_shapes(abstract, {name: tuple(part.get_shape()) for name, part in slices.items()}, path)
    odd = sorted(name for name, part in slices.items() if part.get_dtype() not in _STORED)
    if odd:
        raise V2SError(f"{path}: {', '.join(odd)} are not float32 or float16; export the model again")


def _check_shapes(abstract: nnx.Module, found: dict[str, tuple[int, ...]], where: Path) -> None:
    expected = _shapes(abstract)
    problems = [f"missing {name}" for name in sorted(expected.keys() - found.keys())]
    problems += [f"unused {name}" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} is {found[name]} instead of {expected[name]}"
        for name in sorted(expected.keys() & found.keys())
        if found[name] != expected[name]
    ]
    if problems:
        raise V2SError(
            f"{where}: a model of another config than the one beside it ({'; '.join(problems)}); "
            "use the config that it was trained with"
        )


def _filled(abstract: Any, weights: Mapping[str, Any]) -> System:
    graphdef, state = nnx.split(abstract)
    flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
    filled = {keys: jnp.asarray(weights[".".join(map(str, keys))], leaf.dtype) for keys, leaf in flat.items()}
    system: Any = nnx.merge(graphdef, traverse_util.unflatten_dict(filled))
    return nnx.view(system, raise_if_not_found=False, deterministic=True, use_running_average=True)


def _stored(name: str, value: Any, dtype: str) -> np.ndarray:
    value = np.asarray(value)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused below
        stored = np.ascontiguousarray(value, dtype if value.ndim > 1 else np.float32)
    if not np.isfinite(stored).all():
        raise V2SError(f"{name} has values that are not finite as {stored.dtype}; export as float32 or train again")
    return stored


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill that takes its name once the block has ended without an error."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise V2SError(f"{folder}: exists already and is not empty; name a new folder or remove it first")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            yield temporary
            umask = os.umask(0)  # mkdtemp makes folders private; the umask decides as for any other
            os.umask(umask)
            temporary.chmod(0o777 & ~umask)
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise V2SError(f"{folder}: cannot be written ({error.strerror}); check permissions and free space") from error
