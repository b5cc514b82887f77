"""A step of an experiment and what it reads, as shapes alone: neither weights nor data need be there."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from v2s_jax.data.batch import Batch
from v2s_jax.data.loader import batch_dtype, batch_shape
from v2s_jax.errors import V2SError
from v2s_jax.systems.base import SILENT
from v2s_jax.training import mesh as meshes
from v2s_jax.training.flops import count_flops
from v2s_jax.training.plan import abstract_system, initial_state
from v2s_jax.training.stages import stages_of
from v2s_jax.training.state import Player, State
from v2s_jax.training.step import compile_train_step, make_eval_steps, make_train_step

STEPS = ("train", "synthesize")


class Experiment(NamedTuple):
    """An experiment of one stage.

    Attributes:
        config: of that stage.
        system: abstract.
        players: see `training/state.py`.
        state: shapes of the train state.
    """

    config: ConfigDict
    system: Any
    players: list[Player]
    state: State


class Job(NamedTuple):
    """A step laid out on devices.

    Attributes:
        step: jitted.
        arguments: shapes with shardings.
        parts: the arguments by what they are, for the account of memory.
        flops: of all devices together.
    """

    step: Any
    arguments: tuple
    parts: dict[str, Any]
    flops: int


def open_experiment(config: ConfigDict) -> Experiment:
    """The stage that `train.stage` names, or else the last one, whose model is the whole system.

    Raises:
        V2SError: a setting does not fit.
    """
    own = list(stages_of(config, Path()))[-1][0]
    system, players = abstract_system(own)
    state = jax.eval_shape(initial_state(own, players), jax.random.key(own.seed))
    return Experiment(own, system, players, state)


def make_job(experiment: Experiment, mesh: Mesh, settings: ConfigDict, step: str, rows: int) -> Job:
    """A step on a mesh.

    Args:
        experiment: see above.
        mesh: of devices that may be elsewhere.
        settings: the `mesh` section that it was made of.
        step: of STEPS.
        rows: of the global batch.

    Raises:
        V2SError: the batch or a parameter cannot be split so.
    """
    meshes.check_rows(rows, mesh)
    config, system, players, state = experiment
    shardings = meshes.state_shardings(state, players, mesh, settings)
    sharding = meshes.batch_sharding(mesh)
    if step == "train":
        batch = _batch(config, system.fields, rows, sharding)
        pure = make_train_step(system, players, config.ema.decay, config.train.accumulate)
        parts = _laid(state, shardings) | {"batch": batch}
        laid = {name: parts[name] for name in state}
        compiled = compile_train_step(pure, shardings, sharding)
        return Job(compiled, (laid, batch), parts, count_flops(pure, state, batch))
    read = getattr(system, "inputs", SILENT & system.fields) or system.fields  # of a vocoder: sound
    if system.kind not in ("mel", "waveform"):
        raise V2SError(f"{config.system.name} makes no speech: plan its training step alone")
    batch = _batch(config, read, rows, sharding)
    parts = _laid({name: state[name] for name in ("params", "stats", "key")}, shardings) | {"batch": batch}
    pure = make_eval_steps(system, players)[1]
    arguments = tuple(parts[name] for name in ("params", "stats", "key", "batch"))
    # Speech stays where its clip is.
    compiled = jax.jit(pure, out_shardings=NamedSharding(mesh, PartitionSpec(("data", "fsdp"))))
    return Job(compiled, arguments, parts, count_flops(pure, *arguments, trips=_evaluations(config)))


def _evaluations(config: ConfigDict) -> int:
    return int(config.system.get("sampler", {}).get("evaluations", 1))


def _laid(tree: State, shardings: State) -> State:
    return {
        name: jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            tree[name],
            shardings[name],
        )
        for name in tree
    }


def _batch(config: ConfigDict, fields: Iterable[str], rows: int, sharding: NamedSharding) -> Batch:
    """A batch of the longest bucket."""
    bucket = max(config.data.buckets)
    size = config.system.get("face", 0)  # of face embeddings

    def shape(name: str) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(batch_shape(name, rows, bucket, size), batch_dtype(name), sharding=sharding)

    found = {name: shape(name) for name in fields}
    found["length"] = jax.ShapeDtypeStruct((rows,), np.int32, sharding=sharding)
    names = [field.name for field in dataclasses.fields(Batch)]
    return Batch.tree_unflatten(None, [found.get(name) for name in names])  # which takes shapes in place of arrays
