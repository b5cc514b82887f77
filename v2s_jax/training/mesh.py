"""Devices and how the state lies on them: a mesh from the config and rules from parameter paths to its axes.

Models know no mesh. A parameter takes the first rule whose regex matches its whole path, else the default: its largest
dimension that the `fsdp` axis divides is split over it, and small arrays are replicated (the rule of big_vision).
"""

import re

import jax
import numpy as np
import optax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.training.paths import Tree, map_paths
from v2s_jax.training.state import Player, State

AXES = ("data", "fsdp", "tensor")


def make_mesh(config: ConfigDict) -> Mesh:
    """A mesh over all devices, with automatic axes: under explicit ones convolutions with split weights fail.

    Args:
        config: `mesh` section; one axis may be -1 and takes the devices that the others leave.

    Raises:
        V2SError: the axes do not multiply to the number of devices.
    """
    devices = jax.device_count()
    shape = [config[axis] for axis in AXES]
    if shape.count(-1) == 1:
        known = int(np.prod([n for n in shape if n != -1]))
        shape = [devices // known if n == -1 else n for n in shape]
    if int(np.prod(shape)) != devices or min(shape) < 1:
        asked = ", ".join(f"{axis}={config[axis]}" for axis in AXES)
        raise V2SError(f"The mesh {asked} does not fit the {devices} devices at hand: change the mesh section.")
    return jax.make_mesh(tuple(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def parameter_spec(path: str, shape: tuple[int, ...], mesh: Mesh | AbstractMesh, config: ConfigDict) -> PartitionSpec:
    """How one parameter is split.

    Raises:
        V2SError: a rule's spec does not fit the shape.
    """
    for pattern, spec in config.rules:
        if re.fullmatch(pattern, path):
            return _checked(PartitionSpec(*spec), path, shape, mesh)
    size = mesh.shape["fsdp"]
    divisible = [axis for axis, n in enumerate(shape) if n % size == 0]
    if size == 1 or int(np.prod(shape)) < config.min_shard_size or not divisible:
        return PartitionSpec()
    largest = max(divisible, key=lambda axis: shape[axis])
    return PartitionSpec(*["fsdp" if axis == largest else None for axis in range(len(shape))])


def _checked(spec: PartitionSpec, path: str, shape: tuple[int, ...], mesh: Mesh | AbstractMesh) -> PartitionSpec:
    try:
        NamedSharding(mesh, spec).shard_shape(shape)
    except ValueError as error:
        raise V2SError(f"The mesh rule {spec} does not fit {path} of shape {shape}: {error}.") from error
    return spec


def state_shardings(state: State, players: list[Player], mesh: Mesh, config: ConfigDict) -> State:
    """Shardings of a whole train state: moments and averages lie as their parameters do, the rest everywhere.

    Args:
        state: the state, or its shapes as `jax.eval_shape` gives them.
        players: as given to `create_state`.
        mesh: the devices.
        config: `mesh` section.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())

    def by_rule(tree: Tree) -> Tree:
        return map_paths(lambda path, x: NamedSharding(mesh, parameter_spec(path, x.shape, mesh, config)), tree)

    moments = {
        player.name: optax.tree.map_params(
            player.optimizer,
            lambda _, sharding: sharding,
            state["opt_state"][player.name],
            by_rule(player.own(state["params"])),
            transform_non_params=lambda _: everywhere,
        )
        for player in players
    }
    replicated = {name: jax.tree.map(lambda _: everywhere, part) for name, part in state.items()}
    return replicated | {"params": by_rule(state["params"]), "ema": by_rule(state["ema"]), "opt_state": moments}


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows of a batch over the data and fsdp axes."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def check_rows(batch_size: int, mesh: Mesh | AbstractMesh) -> None:
    """Makes sure that a global batch can be split evenly.

    Raises:
        V2SError: it cannot.
    """
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    if batch_size % parts:
        raise V2SError(
            f"data.batch_size is {batch_size}, but the mesh splits batches in {parts}: take a multiple of it."
        )


def put_batch(batch: Batch, sharding: NamedSharding) -> Batch:
    """This process's rows of the global batch onto the devices."""
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)
