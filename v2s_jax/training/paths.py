"""Parameter trees by path: every rule (freezing, decay, sharding) names a parameter as `trunk/layers/0/kernel`."""

from collections.abc import Callable, Mapping
from typing import Any

from flax import traverse_util

Tree = dict[Any, Any]


def flatten(tree: Tree) -> dict[str, Any]:
    """Leaves of a nested dict by path, in the tree's own order."""
    return {"/".join(map(str, keys)): leaf for keys, leaf in traverse_util.flatten_dict(tree).items()}


def select(tree: Tree, keep: Callable[[str], bool]) -> Tree:
    """The part of a nested dict whose paths `keep` accepts; emptied branches go."""
    flat = traverse_util.flatten_dict(tree)
    return traverse_util.unflatten_dict({keys: leaf for keys, leaf in flat.items() if keep("/".join(map(str, keys)))})


def merge(tree: Tree, part: Tree) -> Tree:
    """`tree` with the leaves that `part` also has taken from `part`."""
    flat = traverse_util.flatten_dict(tree)
    return traverse_util.unflatten_dict(flat | traverse_util.flatten_dict(part))


def below(tree: Tree, place: str) -> dict[str, Any]:
    """Leaves below a path, by what their own paths have after it; all of them when it is empty."""
    start = f"{place}/" if place else ""
    return {path.removeprefix(start): leaf for path, leaf in flatten(tree).items() if path.startswith(start)}


def put_below(tree: Tree, place: str, branch: Mapping[str, Any]) -> Tree:
    """`tree` with the leaves of a branch, named as by `below`, in place of its own."""
    start = f"{place}/" if place else ""
    full = {f"{start}{name}": leaf for name, leaf in branch.items()}
    return map_paths(lambda path, leaf: full.get(path, leaf), tree)


def map_paths(function: Callable[[str, Any], Any], tree: Tree) -> Tree:
    """`function(path, leaf)` on every leaf."""
    flat = traverse_util.flatten_dict(tree)
    return traverse_util.unflatten_dict({keys: function("/".join(map(str, keys)), v) for keys, v in flat.items()})
