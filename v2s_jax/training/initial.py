"""Where a run's first weights come from when it does not start from nothing: fine-tuning and later stages."""

import json
import re
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.models.folder import read_model
from v2s_jax.models.settings import section_of
from v2s_jax.models.shipped import at
from v2s_jax.systems.base import System
from v2s_jax.systems.pretrained import read_pretrained
from v2s_jax.training.checkpoint import FOLDER, read_weights
from v2s_jax.training.differences import differences
from v2s_jax.training.paths import Tree, below, flatten, map_paths, put_below
from v2s_jax.training.state import State, split_system


def initial_weights(source: str) -> tuple[Tree, Tree]:
    """Parameters and statistics of a training workdir (averaged, of its best checkpoint), an exported folder or a name.

    Raises:
        V2SError: it is none of them, or damaged.
    """
    source = str(at(source))
    if (Path(source) / FOLDER).is_dir():
        _, params, stats = read_weights(source)
        return params, stats
    *_, module = read_model(source) if section_of(source) == "model" else read_pretrained(source)
    _, params, stats = split_system(cast(nnx.Module, module))
    return params, stats


def start_from(state: State, config: ConfigDict, system: System, shardings: State) -> State:
    """A fresh state with the weights of `config.train.init_from`; its averages start from them.

    That is a training workdir or a folder of such a system, or the folder of one of its parts, such as an imported
    encoder, beside which everything else stays as it is in `state`.

    Args:
        state: from `create_state`.
        config: the whole experiment.
        system: concrete or abstract.
        shardings: of the state.

    Raises:
        V2SError: the weights are not those of this system.
    """
    source = str(at(config.train.init_from))
    if section_of(source) == "model":
        params, stats = _with_part(state, config.system, system, source)
    else:
        params, stats = initial_weights(source)
    here, there = (
        {path: str(tuple(leaf.shape)) for tree in trees for path, leaf in flatten(tree).items()}
        for trees in ((state["params"], state["stats"]), (params, stats))
    )
    if changed := differences(there, here, "weights"):
        raise V2SError(
            f"train.init_from {source} holds a model of another config ({'; '.join(changed[:5])}): "
            "use the system settings it was trained with."
        )
    weights = flatten(params)
    # Copies, for the state's buffers are given away one by one.
    averages = map_paths(lambda path, average: jnp.array(weights[path], average.dtype), state["ema"])
    fresh = {"params": params, "stats": stats, "ema": averages}
    return state | jax.device_put(fresh, {name: shardings[name] for name in fresh})


def _with_part(state: State, section: ConfigDict, system: System, source: str) -> tuple[Tree, Tree]:
    """The state's parameters and statistics with those of a part's folder in their place.

    Raises:
        V2SError: the system has no such part, or one of other settings.
    """
    config, _, module = read_model(source)
    place = _place(config, section, getattr(system, "free", {}), source)
    _, *given = split_system(module)
    anew = re.compile(getattr(system, "anew", "(?!)"))

    def mixed(own: Tree, given: Tree) -> Tree:
        here, there = below(own, place), flatten(given)
        unlike = {name for name, leaf in here.items() if name not in there or there[name].shape != leaf.shape}
        kept = {name for name in unlike if anew.fullmatch(f"{place}/{name}")}
        if absent := sorted(here.keys() - there.keys() - kept):
            raise V2SError(f"train.init_from {source} holds a {config.name} without {absent[0]}: use another one")
        return put_below(own, place, {name: there[name] for name in here.keys() - kept})

    params, stats = (mixed(state[name], tree) for name, tree in zip(("params", "stats"), given, strict=True))
    return params, stats


def _place(config: ConfigDict, section: ConfigDict, free: dict[str, frozenset[str]], source: str) -> str:
    """Which attribute of a system is such a part.

    Args:
        config: of the part that is given.
        section: of the system.
        free: settings that may differ, by attribute.
        source: to be named in an error.

    Raises:
        V2SError: none is, or one of other settings.
    """
    parts = {name: value for name, value in section.items() if isinstance(value, ConfigDict)}
    place = next((name for name, value in parts.items() if value.get("name") == config.name), None)
    if place is None:
        raise V2SError(f"train.init_from {source} holds a part of kind {config.name}; {section.name} has none of them")
    here, there = (json.loads(value.to_json()) for value in (parts[place], config))
    changed = [name for name in there if name not in free.get(place, ()) and there[name] != here[name]]
    if changed:
        wanted = " ".join(f"--config.system.{place}.{name}={_flag(there[name])}" for name in changed)
        raise V2SError(f"train.init_from {source} holds a {config.name} of other settings: add {wanted}")
    return place


def _flag(value: Any) -> str:
    """A value of JSON's as a command line takes it."""
    return str(value).replace("[", "(").replace("]", ")").replace(" ", "")
