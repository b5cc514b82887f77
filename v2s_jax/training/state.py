"""The train state: a plain dict of arrays; everything else about a run is closed over and rebuilt from the config.

Keys: `params` and `stats` (nested dicts as `nnx.to_pure_dict` gives them), `opt_state` (one optax state a player, over
that player's parameters alone), `ema` (float32 averages of what trains, empty when off), `step` and `key`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.training.ema import start_ema
from v2s_jax.training.optimizer import make_optimizer, make_schedule
from v2s_jax.training.paths import Tree, flatten, select
from v2s_jax.training.rules import Action, Rules, assign, players

State = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Player:
    """One side of a game: the parameters it trains, by which optimiser. An ordinary system has one, `main`."""

    name: str
    actions: dict[str, Action]  # of its parameters and statistics, by path
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule

    def own(self, tree: Tree) -> Tree:
        """The part of a parameter or statistics tree that this player changes."""
        return select(tree, self.actions.__contains__)


def split_system(system: nnx.Module) -> tuple[nnx.GraphDef, Tree, Tree]:
    """Graph definition, parameters and statistics (every other variable), the latter two as plain nested dicts.

    Raises:
        ValueError: the system keeps random state; its modules must take `rngs` when called.
    """
    graphdef, random, params, stats = nnx.split(system, nnx.RngState, nnx.Param, ...)  # type: ignore[misc]
    if len(random):
        raise ValueError(f"modules of a system must not keep rngs: {', '.join(flatten(nnx.to_pure_dict(random)))}")
    return graphdef, nnx.to_pure_dict(params), nnx.to_pure_dict(stats)


def make_players(system: nnx.Module, rules: Rules, config: ConfigDict) -> list[Player]:
    """Who trains what in a stage.

    Args:
        system: concrete or abstract.
        rules: see `rules.py`.
        config: the whole experiment; `optimizer.players.NAME`, if present, overrides `optimizer` for one player.

    Raises:
        V2SError: a parameter or statistic not covered by exactly one rule, or none that trains.
    """
    _, params, stats = split_system(system)
    actions = assign(rules, [*flatten(params), *flatten(stats)])
    result = []
    for name in players(rules, actions):
        settings = ConfigDict(config.optimizer.to_dict() | dict(config.optimizer.get("players", {}).get(name, {})))
        own = {path: action for path, action in actions.items() if action.player == name}
        schedule = make_schedule(settings, config.train.steps)
        result.append(Player(name, own, make_optimizer(settings, schedule, own), schedule))
    return result


def eval_frozen(system: nnx.Module, players: list[Player]) -> nnx.Module:
    """The system with every batch norm whose statistics nobody trains set to use its running averages."""
    moving = {path.rpartition("/")[0] for player in players for path in player.actions}

    def frozen(path: tuple, module: Any) -> bool:
        return isinstance(module, nnx.BatchNorm) and "/".join(map(str, path)) not in moving

    return nnx.view(system, only=frozen, raise_if_not_found=False, use_running_average=True)


def create_state(system: nnx.Module, players: list[Player], ema_decay: float, key: jax.Array) -> State:
    """The state before the first step. Works under `jax.jit` and `jax.eval_shape`.

    Args:
        system: with its initial weights.
        players: from `make_players`.
        ema_decay: 0 keeps no averages.
        key: typed key that all later randomness comes from, folded with the step.
    """
    params, stats = jax.tree.map(_strong, split_system(system)[1:])
    trained = select(params, lambda path: any(path in player.actions for player in players))
    return {
        "params": params,
        "stats": stats,
        "opt_state": {player.name: player.optimizer.init(player.own(params)) for player in players},
        "ema": start_ema(trained) if ema_decay else {},
        "step": jnp.zeros((), jnp.int32),
        "key": key,
    }


def _strong(x: jax.Array) -> jax.Array:
    """An array of the same type, but not a weak one: a step gives strong ones back, and would compile for them anew."""
    return jax.lax.convert_element_type(x, x.dtype)
