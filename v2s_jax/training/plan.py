"""What a run will do, before it computes anything: the shapes of its system, who trains what, and its data."""

from typing import Any, NamedTuple

import jax
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.data.loader import Loader
from v2s_jax.systems.registry import build
from v2s_jax.training.batches import open_loader
from v2s_jax.training.precision import compute_dtype
from v2s_jax.training.rules import choose_rules
from v2s_jax.training.state import Player, make_players


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
    system = nnx.eval_shape(lambda: make_system(config, jax.random.key(config.seed)))
    players = make_players(system, choose_rules(system.stages(), config.train.stage, config.train.rules), config)
    training = open_loader(config, "train", system)
    judged = bool(config.validation.every)
    return Plan(system, players, training, open_loader(config, config.validation.split, system) if judged else None)


def make_system(config: ConfigDict, key: jax.Array) -> Any:
    """The system with fresh weights, at the width of numbers that the experiment says."""
    return build(config.system, nnx.Rngs(key), compute_dtype(config.precision))
