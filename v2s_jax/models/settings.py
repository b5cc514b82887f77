"""Configs that come from outside: plain JSON, checked key by key against the defaults of what they describe.

Needs no jax: `v2s_jax.interop.torch` reads the same folders.
"""

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from v2s_jax.errors import V2SError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"  # the files of a model's folder
SHARED = "shared"  # the section of a config that says which parts are those of another folder
_MAX_CONFIG_BYTES = 1 << 20
_MAX_NUMBER = 1 << 16  # of any size in a config, so that a mistaken one costs a sentence and not the memory
_MAX_ENTRIES = 64  # of any list in a config
# What a folder can hold, by the section of its config.
KINDS = {"system": "a video-to-speech system", "model": "a part of one (an encoder or a vocoder)"}


class Section(NamedTuple):
    """The section of a config that describes a module.

    Attributes:
        key: its name, one of `KINDS`.
        classes: "module:class" by the name that the section gives; the module has `default_config()`.
        parts: likewise, of parts of it that a config chooses by name; one of the default's name may be of any size.
    """

    key: str
    classes: Mapping[str, str]
    parts: Mapping[str, str] = MappingProxyType({})


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        V2SError: it is not readable, or larger than a config can be.
    """
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise V2SError(f"{path}: larger than a config can be; expected a small JSON file")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: neither UTF-8 nor JSON
        raise V2SError(f"{path}: not readable as a model's config ({error}); expected a JSON file") from error


def section_of(folder: str | os.PathLike) -> str | None:
    """What a folder of this package's holds, one of `KINDS`; None if it is none."""
    try:
        config = read_json(Path(folder) / CONFIG)
    except V2SError:
        return None
    return next((key for key in KINDS if isinstance(config, dict) and isinstance(config.get(key), dict)), None)


def checked_config(config: Any, section: Section, where: Path) -> ConfigDict:
    """The config if its section has exactly the keys and types of the defaults of what it names; lists become tuples.

    Other sections say where the model comes from and build nothing; they are taken as they are.

    Raises:
        V2SError: it has not.
    """
    key, names = section.key, ", ".join(section.classes)
    chosen = config.get(key) if isinstance(config, dict) else None
    if isinstance(config, dict) and chosen is None:
        for other, kind in KINDS.items():
            if isinstance(config.get(other), dict):
                name = str(config[other].get("name"))[:40]
                raise V2SError(f"{where}: holds {kind}, {name}, where {KINDS[key]} is expected: one of {names}")
    if not isinstance(chosen, dict) or not named_in(chosen, section.classes):
        raise V2SError(f"{where}: expected a config whose {key}.name is one of {names}")
    default = _default(section.classes[chosen["name"]])
    _choose_parts(default, chosen, section.parts)
    from v2s_jax.models.remat import current  # only here: it loads jax, as a default does

    chosen = current(chosen, default)
    problems = list(_mistakes(chosen, default, key))
    if problems:
        raise V2SError(f"{where}: not a config of this version's {chosen['name']} {key} ({'; '.join(problems)})")
    try:
        return ConfigDict(config | {key: _as_tuples(chosen)})
    except (AttributeError, TypeError, ValueError) as error:  # others may hold what no config can: a dot in a name
        raise V2SError(f"{where}: not a config ({error}); fetch the model again") from error


def named_in(config: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether a config's name, which may be anything that JSON has, is one of those."""
    return isinstance(config.get("name"), str) and config["name"] in known


def _default(place: str) -> dict[str, Any]:
    """The default config of what is at "module:class"."""
    return importlib.import_module(place.split(":")[0]).default_config().to_dict()


def _choose_parts(default: dict[str, Any], chosen: dict[str, Any], parts: Mapping[str, str], depth: int = 3) -> None:
    """Where a config has another part than the default, that part's default instead, and within it, so deep."""
    for name, entry in default.items():
        own = chosen.get(name)
        if isinstance(entry, dict) and isinstance(own, dict) and entry.get("name") in parts and named_in(own, parts):
            if own["name"] != entry["name"]:
                default[name] = _default(parts[own["name"]])
            if depth:
                _choose_parts(default[name], own, parts, depth - 1)


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_tuples(entry) for name, entry in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


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
