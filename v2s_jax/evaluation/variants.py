"""Variants of models to be compared, as a Python file lists them for `v2s-jax ablate`."""

import dataclasses
import json
import os
import re
from typing import Any

from v2s_jax.errors import V2SError
from v2s_jax.media.degrade import parse
from v2s_jax.python_file import run_file

TABLE, RESULTS, CURVES = "table.md", "ablation.json", "curves.png"  # beside the variants' folders
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+=,-]{0,99}"  # of a folder, anywhere
_NUMBER = (int, float)
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "name": ((str,), "a text"),
    "model": ((str,), "a name or path"),
    "data": ((str,), "the path of a data set"),
    "system": ((dict,), "a dict of settings"),
    "sampler": ((dict,), "a dict of numbers"),
    "contrast": (_NUMBER, "a number"),
    "vocoder": ((str,), "a name or path"),
    "degrade": ((str,), "such as 'blur=2'"),
    "face": ((str,), "'own' or 'other'"),
    "series": ((str, list, tuple), "a name or several"),
    "x": (_NUMBER, "a number"),
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of an ablation. What a file leaves out is the model's own.

    Attributes:
        name: of the row and of its folder.
        model: name or path.
        system: settings of its config's section of that name, by dotted names or nested.
        sampler: settings of its sampler.
        contrast: of the mel before the vocoder.
        vocoder: name or path.
        degrade: what is done to the video, in the words of `media/degrade.py`.
        face: whose identity the model is shown: "own", or "other" for that of the split's next clip of another speaker.
        series: the curves that it is a point of.
        x: its place on them.
        data: path of the data set that is spoken, such as one filmed otherwise; the command's when "".
    """

    name: str
    model: str
    system: dict[str, Any] = dataclasses.field(default_factory=dict)
    sampler: dict[str, float] = dataclasses.field(default_factory=dict)
    contrast: float | None = None
    vocoder: str | None = None
    degrade: str = ""
    face: str = "own"
    series: tuple[str, ...] = ()
    x: float | None = None
    data: str = ""

    def settings(self) -> dict[str, Any]:
        """What its speech depends on, without what is left to the model."""
        names = ("model", "data", "system", "sampler", "contrast", "vocoder", "degrade", "face")
        return {name: value for name in names if (value := getattr(self, name)) not in ({}, None, "", "own")}


def load_variants(path: str | os.PathLike, model: str | None) -> list[Variant]:
    """The variants of a Python file with `get_variants() -> list[dict]`.

    Args:
        path: of the file.
        model: of variants that name none.

    Raises:
        V2SError: the file is missing or broken, or what it lists is no list of variants.
    """
    listed = run_file(path, "get_variants", "file of variants", "configs/ablations/")
    if not isinstance(listed, list | tuple) or not listed:
        raise V2SError(f"get_variants() in {path} must return a list of at least one dict, not {str(listed)[:40]!r}")
    variants: dict[str, Variant] = {}
    for number, entry in enumerate(listed, 1):
        where = f"{path}, variant {number}"
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            where += f" ({entry['name']})"
        variant = _variant(entry, model, where)
        if variant.name in variants:
            raise V2SError(f"{where}: there is another variant of this name; give each its own")
        variants[variant.name] = variant
    return list(variants.values())


def _variant(entry: Any, model: str | None, where: str) -> Variant:
    _check_kinds(entry, where)
    if not re.fullmatch(_NAME, entry.get("name", "")) or entry["name"] in (TABLE, RESULTS, CURVES):
        raise V2SError(f"{where}: expected a name that can be a folder's: letters, digits and . _ + = , - inside")
    chosen = entry.get("model", model)
    if chosen is None:
        raise V2SError(f"{where}: names no model; give it one, or all of them by --model")
    try:
        json.dumps(entry, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise V2SError(f"{where}: its settings must be finite numbers, texts, lists and dicts ({error})") from error
    for name, value in entry.get("sampler", {}).items():
        if not _is(value, _NUMBER):
            raise V2SError(f"{where}: sampler.{name} is {str(value)[:40]!r}, expected a number")
    if entry.get("face", "own") not in ("own", "other"):
        raise V2SError(f"{where}: face is {entry['face'][:40]!r}, expected 'own' or 'other'")
    try:
        parse(entry.get("degrade", ""))
    except V2SError as error:
        raise V2SError(f"{where}: {error}") from error
    if ("series" in entry) != ("x" in entry):
        raise V2SError(f"{where}: has one of series and x; a point of a curve needs both")
    series = entry.get("series", ())
    changed = {"model": chosen, "series": (series,) if isinstance(series, str) else tuple(map(str, series))}
    changed |= {"sampler": {name: float(value) for name, value in entry.get("sampler", {}).items()}}
    changed |= {name: float(entry[name]) for name in ("contrast", "x") if name in entry}
    return Variant(**(entry | changed))


def _check_kinds(entry: Any, where: str) -> None:
    """Refuses what is no dict, has unknown keys or values of another kind."""
    if not isinstance(entry, dict):
        raise V2SError(f"{where}: is {str(entry)[:40]!r}, expected a dict with a name")
    for key, value in entry.items():
        if key not in _KINDS:
            raise V2SError(f"{where}: has no setting {key!r}; there are {', '.join(_KINDS)}")
        kinds, expected = _KINDS[key]
        if not _is(value, kinds):
            raise V2SError(f"{where}: {key} is {str(value)[:40]!r}, expected {expected}")


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
