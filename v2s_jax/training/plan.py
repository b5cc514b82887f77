"""What a run will do, before it computes anything: the shapes of its system, who trains what, and its data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.data.loader import Loader
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.registry import build
from v2s_jax.training.batches import open_loader
from v2s_jax.training.precision import compute_dtype
from v2s_jax.training.rules import choose_rules
from v2s_jax.training.state import Player, State, create_state, make_players


class Plan(NamedTuple):
    """A run's parts that cost next to nothing.

    Attributes:
        system: abstract.
        players: see `state.py`.
        training: the split that it learns from.
        validation: the one that it is judged by, if it is.
    """

    system: Any
    players: list[Player]
    training: Loader
    validation: Loader | None


def make_plan(config: ConfigDict) -> Plan:
    """The plan of an experiment of one stage.

    Raises:
        V2SError: a setting, a rule or the data does not fit.
    """
    system, players = abstract_system(config)
    training = open_loader(config, "train", system)
    judged = bool(config.validation.every)
    return Plan(system, players, training, open_loader(config, config.validation.split, system) if judged else None)


def abstract_system(config: ConfigDict) -> tuple[Any, list[Player]]:
    """The shapes of an experiment's system and who trains what of it, for which there need be no data.

    Raises:
        V2SError: a setting or a rule does not fit.
    """
    system = nnx.eval_shape(lambda: make_system(config, jax.random.key(config.seed)))
    rules = choose_rules(system.stages(), config.train.stage, config.train.rules, config.train.frozen)
    return system, make_players(system, rules, config)


def initial_state(config: ConfigDict, players: list[Player]) -> Callable[[jax.Array], State]:
    """The function from the run's key to the state before the first step, for `jax.jit` and `jax.eval_shape`."""

    def initial(key: jax.Array) -> State:
        system = make_system(config, jax.random.fold_in(key, 0))
        return create_state(system, players, config.ema.decay, jax.random.fold_in(key, 1))

    return initial


def make_system(config: ConfigDict, key: jax.Array) -> Any:
    """The system with fresh weights, at the width of numbers that the experiment says."""
    return build(config.system, Rngs(key), compute_dtype(config.precision))
