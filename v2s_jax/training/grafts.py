"""Branches of other models in a new run's first weights: a front end that was trained in another system, say.

An array that has all axes of the one it replaces but the first is repeated along that: the statistics of an ordinary
batch norm are those of every state of one that keeps several.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.training.initial import initial_weights
from v2s_jax.training.paths import Tree, below, flatten, put_below
from v2s_jax.training.rules import Rules, assign, choose_rules
from v2s_jax.training.state import State


def graft(state: State, grafts: Sequence[Sequence[str]], shardings: State) -> State:
    """A fresh state with the branches that `config.train.grafts` names; its averages start from them.

    Args:
        state: from `create_state` or `start_from`.
        grafts: (source, branch there, branch here), a source being a training workdir or an exported system or part, a
            branch a path such as `encoder/frontend`, or "" for all that there is.
        shardings: of the state.

    Raises:
        V2SError: a branch is not there, or holds other arrays than the one that it replaces.
    """
    for entry in grafts:
        if len(entry) != 3:
            raise V2SError(f"train.grafts has {entry!r}: expected (source, branch there, branch here)")
        source, there, here = entry
        own = [below(state[name], here) for name in ("params", "stats")]
        found = [below(tree, there) for tree in initial_weights(source)]
        given = [
            {name: _repeated(leaf, into.get(name)) for name, leaf in tree.items()}
            for tree, into in zip(found, own, strict=True)
        ]
        _check(given, own, entry)
        for name, branch in zip(("params", "stats", "ema"), (*given, given[0]), strict=True):
            # Copies, for the state's buffers are given away one by one.
            copies = {path: jnp.array(leaf) for path, leaf in branch.items()}
            state = state | {name: put_below(state[name], here, copies)}
    fresh = {name: state[name] for name in ("params", "stats", "ema")}
    return state | jax.device_put(fresh, {name: shardings[name] for name in fresh})


def left_random(params: Tree, stages: Mapping[str, Rules], config: ConfigDict) -> list[str]:
    """Parts that begin with random weights and never train: in no stage, or not by the rules of the experiment itself.

    Args:
        params: of the system; shapes are enough.
        stages: what `System.stages()` returned.
        config: the `train` section.
    """
    given = tuple(f"{here}/" for *_, here in config.grafts)
    if config.init_from or "/" in given:
        return []
    paths = [path for path in flatten(params) if not path.startswith(given)]
    if config.rules or config.frozen:
        stages = {"": choose_rules(stages, config.stage, config.rules, config.frozen)}
    ever = {path for rules in stages.values() for path, action in assign(rules, paths).items() if action.player}
    return list(dict.fromkeys(path.split("/")[0] for path in paths if path not in ever))


def _repeated(leaf: jax.Array, into: jax.Array | None) -> jax.Array:
    """An array that lacks only the leading axis of the one it is to replace with that axis; any other as it is."""
    if into is None or into.ndim != leaf.ndim + 1 or into.shape[1:] != leaf.shape:
        return leaf
    return jnp.broadcast_to(leaf, into.shape)


def _check(given: list[dict], own: list[dict], entry: Sequence[str]) -> None:
    source, there, here = entry
    for trees, path, where in ((given, there, source), (own, here, "this system")):
        if not any(trees):
            raise V2SError(f"train.grafts: {where} has no branch {path!r}; expected the path of some of its weights")
    shapes = [{name: tuple(leaf.shape) for tree in trees for name, leaf in tree.items()} for trees in (given, own)]
    if unlike := sorted(name for name in shapes[0] | shapes[1] if shapes[0].get(name) != shapes[1].get(name)):
        raise V2SError(
            f"train.grafts: {there} of {source} does not fit {here} of this system, such as in {unlike[0]} "
            f"({shapes[0].get(unlike[0])} there, {shapes[1].get(unlike[0])} here): give both the same settings"
        )
