"""Parameter trees by path: every rule (freezing, decay, sharding) names a parameter as `trunk/layers/0/kernel`."""

from collections.abc import Callable
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


def map_paths(function: Callable[[str, Any], Any], tree: Tree) -> Tree:
    """`function(path, leaf)` on every leaf."""
    flat = traverse_util.flatten_dict(tree)
    return traverse_util.unflatten_dict({keys: function("/".join(map(str, keys)), v) for keys, v in flat.items()})
