"""A trained module as a folder to hand on: config.json, model.safetensors and README.md, its card.

Nothing in such a folder is ever executed: the config is plain JSON whose section for the module is checked key by key
against the module's own defaults, and the weights are read only after every name, shape and type in their header was
checked against the module that the config describes. Systems (`systems/pretrained.py`) and parts (encoders, vocoders)
share all of this; they differ in the section.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from jax.typing import DTypeLike
from ml_collections import ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import save_file

from v2s_jax.errors import V2SError
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.registry import MODELS, construct
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.settings import CARD, CONFIG, SHARED, WEIGHTS, Section, checked_config, read_json
from v2s_jax.models.weights_file import Tensor, open_weights, without_shared

PART = Section("model", MODELS)
DTYPES = ("float32", "float16")
_VECTORS = (".bias", ".scale", ".mean", ".var")
_STORED = ("F32", "F16")  # safetensors' names of them


def save_model(
    folder: str | os.PathLike,
    config: ConfigDict,
    module: nnx.Module,
    info: Mapping[str, Any],
    card: str,
    dtype: str = "float32",
) -> None:
    """Writes a part as a folder, whole or not at all.

    Args:
        folder: must not exist yet, or be empty.
        config: that the part was built from.
        module: the part.
        info: where it comes from and what its input must be like, in JSON's kinds.
        card: Markdown text for people.
        dtype: of matrices and kernels in the file; see `write_folder`.

    Raises:
        V2SError: the folder is not empty or cannot be written, or a weight does not fit `dtype`.
    """
    _, *states = nnx.split(module, nnx.Param, ...)
    params, stats = map(nnx.to_pure_dict, states)
    write_folder(folder, {"model": json.loads(config.to_json()), "info": dict(info)}, params, stats, card, dtype)


def read_model(folder: str | os.PathLike, dtype: DTypeLike = jnp.float32) -> tuple[ConfigDict, dict[str, Any], Any]:
    """The part of a folder that `save_model` wrote.

    Args:
        folder: its path.
        dtype: of the computation; the weights are float32.

    Returns:
        The part's config, where it comes from, and the part in evaluation mode.

    Raises:
        V2SError: a file is missing or damaged, or config and weights are of different models, or of no part.
    """
    config, module = read_folder(folder, PART, dtype)
    info = config.to_dict().get("info", {})
    if not isinstance(info, dict):
        raise V2SError(f"{Path(folder) / CONFIG}: info is {str(info)[:40]!r}, expected an object")
    return config.model, info, module


def write_folder(
    folder: str | os.PathLike,
    config: Mapping[str, Any],
    params: Mapping[Any, Any],
    stats: Mapping[Any, Any],
    card: str,
    dtype: str,
    shared: Mapping[str, str] | None = None,
) -> None:
    """Writes config, weights and card, whole or not at all.

    Args:
        folder: must not exist yet, or be empty.
        config: in JSON's kinds.
        params: nested dict of arrays, as `nnx.to_pure_dict` gives.
        stats: likewise, every variable that is no parameter.
        card: Markdown text.
        dtype: of matrices and kernels in the file. Vectors (biases, norms) and statistics are few and stay float32.
        shared: parts left to a folder beside the new one, as `{"encoder": "other/encoder"}`.

    Raises:
        V2SError: the folder is not empty or cannot be written, a weight does not fit `dtype`, or what is to be shared
            is not the same there.
    """
    if dtype not in DTYPES:
        raise V2SError(f"weights cannot be stored as {dtype!r}; known are {', '.join(DTYPES)}")
    weights = {name: stored(name, value, dtype) for name, value in flat_names(params).items()}
    weights |= {name: stored(name, value, "float32") for name, value in flat_names(stats).items()}
    if shared:
        config = {**config, SHARED: dict(shared)}
        weights = without_shared(Path(folder), config, weights)
    with new_folder(folder) as temporary:
        write_json(temporary / CONFIG, config)
        (temporary / CARD).write_text(card, encoding="utf-8")
        write_tensors(temporary / WEIGHTS, weights)


def read_folder(folder: str | os.PathLike, section: Section, dtype: DTypeLike = jnp.float32) -> tuple[ConfigDict, Any]:
    """The whole config of a folder and the module of its section, in evaluation mode.

    Raises:
        V2SError: a file is missing or damaged, or config and weights are of different models, or of no such section.
    """
    config_path, weights_path = Path(folder) / CONFIG, Path(folder) / WEIGHTS
    content = read_json(config_path)
    config = checked_config(content, section, config_path)
    abstract = abstract_module(config[section.key], section, config_path, dtype)
    with open_weights(Path(folder), content) as tensors:
        _check_header(abstract, tensors, weights_path)
        own = ConfigDict({key: value for key, value in config.items() if key != SHARED})
        return own, _filled(abstract, lambda name: tensors[name].read())


def assemble(
    config: Mapping[str, Any],
    section: Section,
    weights: Mapping[str, Any],
    where: str | os.PathLike,
    dtype: DTypeLike = jnp.float32,
) -> Any:
    """The module of a config's section with the given weights, in evaluation mode.

    Args:
        config: a whole config, in JSON's kinds; it is checked.
        section: which one.
        weights: arrays by dotted path, kept as float32.
        where: what to name in an error.
        dtype: of the computation.

    Raises:
        V2SError: config or weights are not those of such a module.
    """
    checked = checked_config(dict(config), section, Path(where))
    abstract = abstract_module(checked[section.key], section, where, dtype)
    _check_shapes(abstract, {name: tuple(value.shape) for name, value in weights.items()}, where)
    return _filled(abstract, weights.__getitem__)


def abstract_module(
    config: ConfigDict, section: Section, where: str | os.PathLike, dtype: DTypeLike = jnp.float32
) -> Any:
    """The module with shapes for weights: nothing of their size is allocated.

    Args:
        config: of the module.
        section: where it is from.
        where: what to name in an error.
        dtype: of the computation.

    Raises:
        V2SError: no module can be built from these settings.
    """
    try:
        numbers = jnp.dtype(dtype)
        return nnx.eval_shape(lambda: construct(section.classes, section.key, config, Rngs(0), numbers))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise V2SError(f"{where}: no {config.name} {section.key} can be built from its settings ({reason})") from error


def flat_names(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """Leaves of a nested dict by the names that weights have in a file, such as `conformer.blocks.0.norm.scale`."""
    return {".".join(map(str, keys)): leaf for keys, leaf in traverse_util.flatten_dict(dict(tree)).items()}


def flat_weights(module: nnx.Module) -> dict[str, Any]:
    """Parameters and statistics of a module by those names; of an abstract one, their shapes and types."""
    return flat_names(nnx.to_pure_dict(nnx.state(module)))


def check_free(folder: str | os.PathLike) -> None:
    """Passes if a folder can be made under this name.

    Raises:
        V2SError: there is a file or a folder that is not empty.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise V2SError(f"{folder}: exists already and is not empty; name a new folder or remove it first")


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """A folder to fill that takes its name once the block has ended without an error.

    Raises:
        V2SError: the name is taken by a file or by a folder that is not empty, or it cannot be written.
    """
    folder = Path(folder)
    try:
        check_free(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())  # mkdtemp makes folders private
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise V2SError(f"{folder}: cannot be written ({reason}); check permissions and free space") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file for people to read."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file, without a second copy of the weights in memory."""
    save_file(dict(tensors), path, metadata)
    path.chmod(0o666 & ~_umask())  # save_file makes files private


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _check_header(abstract: nnx.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    _check_shapes(abstract, {name: tensor.shape for name, tensor in tensors.items()}, path)
    odd = sorted(name for name, tensor in tensors.items() if tensor.kind not in _STORED)
    if odd:
        raise V2SError(f"{path}: {', '.join(odd)} are not float32 or float16; export the model again")


def _check_shapes(abstract: nnx.Module, found: Mapping[str, tuple[int, ...]], where: str | os.PathLike) -> None:
    expected = {name: leaf.shape for name, leaf in flat_weights(abstract).items()}
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


def _filled(abstract: Any, weight: Callable[[str], Any]) -> Any:
    graphdef, state = nnx.split(abstract)
    flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
    filled = {keys: jnp.asarray(weight(".".join(map(str, keys))), leaf.dtype) for keys, leaf in flat.items()}
    return evaluation_mode(nnx.merge(graphdef, traverse_util.unflatten_dict(filled)))


def stored(name: str, value: Any, dtype: str) -> np.ndarray:
    """A weight as it is put into a file.

    Args:
        name: to be named in an error.
        value: an array of floats.
        dtype: of matrices and kernels; vectors and numbers are float32.

    Raises:
        V2SError: a value is not finite as such.
    """
    value = np.asarray(value)
    vector = name.endswith(_VECTORS)  # one a layer where layers are stacked, and then of two axes
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused below
        kept = np.asarray(value, dtype if value.ndim > 1 and not vector else np.float32, order="C")
    if not np.isfinite(kept).all():
        raise V2SError(f"{name} has values that are not finite as {kept.dtype}; export as float32 or train again")
    return kept
