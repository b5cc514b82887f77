"""What the reader of foreign checkpoints makes of classes that it does not know: inert records.

A tree that was read holds nothing but None, numbers, strings, bytes, lists, dicts, tuples, sets, numpy arrays and
dtypes, slices, ranges, and the two kinds of this file. `plain` turns configs among the records into dicts and lists.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from v2s_jax.errors import V2SError

MAX_NODES = 20_000_000  # of a tree, a shared part counted as often as it is mentioned
MAX_DEPTH = 100
_MAX_CONFIG_DEPTH = 60  # by recursion; omegaconf spends three on every section

_CONTAINERS = (dict, list, tuple, set, frozenset)
_LEAVES = (type(None), bool, int, float, complex, str, bytes, bytearray, slice, range)
_ARRAYS = (np.ndarray, np.dtype)
_NAMESPACES = (("argparse", "Namespace"), ("types", "SimpleNamespace"))


class Refused(ValueError):
    """Why a file is not read, as the part of the sentence that follows its name."""


class Damaged(Refused):
    """What in a file cannot be as it was written."""

    def __init__(self, what: str):
        super().__init__(f"{what}; the file is damaged, fetch it again")


@dataclass(frozen=True)
class Global:
    """The mention of a class or function: its name, and nothing that could be called."""

    module: str
    name: str

    def __str__(self):
        return shown(f"{self.module}.{self.name}")


@dataclass(eq=False, repr=False)
class Record:
    """What a file says of an object whose class is not known here.

    Attributes:
        module: where its class lived.
        name: its class.
        args: what the class was to be called with; keyword arguments, if any, as a dict at the end.
        state: what its `__setstate__` or `__dict__` was to get; None where there was none.
        items: what was to be appended to it, being a list or set.
        pairs: what was to be set in it, being a dict.
    """

    module: str
    name: str
    args: tuple = ()
    state: Any = None
    items: list = field(default_factory=list)
    pairs: list = field(default_factory=list)

    def __repr__(self):
        return f"Record({shown(f'{self.module}.{self.name}')})"


def shown(text: Any) -> str:
    """Text of a file, or of an error about it, as fit for a message: short, and free of control characters."""
    text = ascii(str(text)[:200])[1:-1]
    return text if len(text) <= 200 else text[:200] + "..."


def shares_hash(value: Any) -> bool:
    """Whether a value is a number with the hash of a smaller one, so that a dict of such can be slow without end."""
    return isinstance(value, int | float) and abs(value) >= sys.hash_info.modulus


def plain(tree: Any, where: str | os.PathLike) -> Any:
    """A copy of a tree with configs in it turned into plain values.

    omegaconf's nodes become dicts, lists and values (interpolations stay text), `argparse.Namespace` a dict, subclasses
    of dict become dicts, and members of an enum their values. Other records stay what they are.

    Args:
        tree: what `read_checkpoint` gave, or a part of it.
        where: what to name in an error, such as the file.

    Raises:
        V2SError: it contains itself, or is nested too deeply or too large to be a config.
    """
    try:
        result = _Plain().convert(tree, 0)
        check_tree(result)
    except Refused as error:
        raise V2SError(f"{os.fspath(where)}: {error}") from error
    return result


class _Plain:
    """Converts every shared part once, so that sharing costs nothing."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, Any]] = {}  # by id: the part itself, to keep it alive, and its copy
        self._open: set[int] = set()

    def convert(self, value: Any, depth: int) -> Any:
        if not isinstance(value, (*_CONTAINERS, Record)):
            return value
        if id(value) in self._done:
            return self._done[id(value)][1]
        if id(value) in self._open or depth > _MAX_CONFIG_DEPTH:
            raise Refused("its config contains itself or is nested too deeply; get the file from another source")
        self._open.add(id(value))
        result = self._converted(value, depth + 1)
        self._open.remove(id(value))
        self._done[id(value)] = value, result
        return result

    def _converted(self, value: Any, depth: int) -> Any:
        if isinstance(value, Record):
            inside = _inside(value)
            return value if inside is value else self.convert(inside, depth)
        if isinstance(value, dict):
            return {_inside_key(key): self.convert(part, depth) for key, part in value.items()}
        if isinstance(value, set | frozenset):
            return type(value)(map(_inside_key, value))
        return type(value)([self.convert(part, depth) for part in value])


def _inside(record: Record) -> Any:
    """What a record stands for, or itself."""
    state = record.state if isinstance(record.state, dict) else {}
    if record.module.startswith("omegaconf."):
        for slot in ("_content", "_val"):
            if slot in state:
                return state[slot]
    if (record.module, record.name) in _NAMESPACES:
        return state
    if record.pairs:
        return dict(record.pairs)
    is_member = len(record.args) == 1 and isinstance(record.args[0], str | int) and record.state is None
    return record.args[0] if is_member and not record.items else record


def _inside_key(key: Any) -> Any:
    inside = _inside(key) if isinstance(key, Record) else key
    return inside if isinstance(inside, str | int) and not shares_hash(inside) else key


def check_tree(tree: Any) -> None:
    """Checks that a walk over the tree ends, soon, and meets only the kinds named above.

    Records are looked into as well, but each on its own: through them a tree may lead back to itself.

    Raises:
        Refused: it does not.
    """
    measured: dict[int, tuple[int, int]] = {}
    records, known = [Record("", "", (tree,))], set()
    while records:
        record = records.pop()
        if id(record) not in known:
            known.add(id(record))
            _measure([record.args, record.state, record.items, record.pairs], measured, records)


def _measure(root: list, measured: dict[int, tuple[int, int]], records: list[Record]) -> None:
    """Finds nodes and depth of every container under `root`, and adds the records it meets to `records`."""
    frames: list[tuple[Any, Any, list[int]]] = [(root, iter(root), [1, 1])]
    open_ids = {id(root)}
    while frames:
        node, rest, total = frames[-1]
        for child in rest:
            if not isinstance(child, _CONTAINERS):
                total[0] += 1
                _note_leaf(child, records)
            elif id(child) in open_ids:
                raise Refused("its data contain themselves, which no checkpoint's do; get the file from another source")
            elif id(child) in measured:
                _add(total, measured[id(child)])
            else:
                frames.append((child, iter(_parts(child)), [1, 1]))
                open_ids.add(id(child))
                break
        else:
            frames.pop()
            open_ids.remove(id(node))
            if node is not root:  # `root` itself is gone when the caller returns, and its id free for another
                measured[id(node)] = total[0], total[1]
            if frames:
                _add(frames[-1][2], (total[0], total[1]))
        if total[0] > MAX_NODES or total[1] > MAX_DEPTH or len(frames) > MAX_DEPTH:
            raise Refused(
                f"its data are nested deeper than {MAX_DEPTH} or count more than {MAX_NODES} parts, which no "
                "checkpoint's do; get the file from another source"
            )


def _parts(node: Any) -> Iterable:
    return node.values() if isinstance(node, dict) else node


def _add(total: list[int], part: tuple[int, int]) -> None:
    total[0] += part[0]
    total[1] = max(total[1], part[1] + 1)


def _note_leaf(leaf: Any, records: list[Record]) -> None:
    if type(leaf) is Record:
        records.append(leaf)
    elif type(leaf) not in _LEAVES and type(leaf) is not Global and not isinstance(leaf, _ARRAYS):
        raise Damaged(f"it holds a half-made {type(leaf).__name__}")
