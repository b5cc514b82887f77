"""Devices and how the state lies on them: a mesh from the config and rules from parameter paths to its axes.

Models know no mesh. A parameter takes the first rule of `mesh.rules` whose regex matches its whole path, then that of
its family in `sharding_rules.py` if the `tensor` axis has more than one device, else the default: its largest dimension
that the `fsdp` axis divides is split over it, and small arrays are replicated (the rule of big_vision).
"""

import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.training.paths import Tree, map_paths
from v2s_jax.training.sharding_rules import TENSOR_RULES
from v2s_jax.training.state import Player, State

AXES = ("data", "fsdp", "tensor")


def make_mesh(config: ConfigDict, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh over all devices, with automatic axes: under explicit ones convolutions with split weights fail.

    With several slices (of a TPU), or nodes, the data axis goes over them first and the other axes stay inside one, so
    that only gradients cross the slow network between them.

    Args:
        config: `mesh` section; one axis may be -1 and takes the devices that the others leave.
        devices: those of another machine that a program is compiled for; the ones at hand if None.

    Raises:
        V2SError: the axes do not multiply to the number of devices, or the slices do not divide the data axis.
    """
    devices = jax.devices() if devices is None else list(devices)
    shape = axis_sizes(config, len(devices))
    types = (AxisType.Auto,) * len(AXES)
    if config.slices == 1:
        return jax.make_mesh(shape, AXES, axis_types=types, devices=devices)
    if shape[0] % config.slices:
        raise V2SError(f"mesh.slices is {config.slices}, but the data axis of {shape[0]} cannot be split over them.")
    inside, across = (shape[0] // config.slices, *shape[1:]), (config.slices, 1, 1)
    by_process = len({getattr(device, "slice_index", None) for device in devices}) != config.slices
    try:
        grid = mesh_utils.create_hybrid_device_mesh(inside, across, devices, process_is_granule=by_process)
    except ValueError as error:
        raise V2SError(f"mesh.slices is {config.slices}, but the devices are not so many slices: {error}.") from error
    return Mesh(grid, AXES, axis_types=types)


def axis_sizes(config: ConfigDict, devices: int) -> tuple[int, int, int]:
    """Sizes of the mesh's axes over so many devices.

    Raises:
        V2SError: they do not multiply to it.
    """
    shape = [config[axis] for axis in AXES]
    if shape.count(-1) == 1:
        known = int(np.prod([n for n in shape if n != -1]))
        shape = [devices // known if n == -1 and known else n for n in shape]
    if int(np.prod(shape)) != devices or min(shape) < 1:
        asked = ", ".join(f"{axis}={config[axis]}" for axis in AXES)
        raise V2SError(f"The mesh {asked} does not fit the {devices} devices at hand: change the mesh section.")
    return shape[0], shape[1], shape[2]


def parse_axes(text: str) -> dict[str, int]:
    """The settings of `--mesh data=-1,fsdp=16,tensor=1`, by name; axes left out are 1, and data -1.

    Raises:
        V2SError: it is not of that form.
    """
    found = {"data": -1, "fsdp": 1, "tensor": 1}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in (*found, "slices") or not re.fullmatch(r"-1|[1-9]\d*", value):
            raise V2SError(f"--mesh {text}: {part!r} is not an axis and its size; write data=-1,fsdp=16,tensor=1")
        found[name] = int(value)
    return found


def parameter_spec(path: str, shape: tuple[int, ...], mesh: Mesh | AbstractMesh, config: ConfigDict) -> PartitionSpec:
    """How one parameter is split.

    Raises:
        V2SError: a rule's spec does not fit the shape.
    """
    return parameter_rule(path, shape, mesh, config)[1]


def parameter_rule(
    path: str, shape: tuple[int, ...], mesh: Mesh | AbstractMesh, config: ConfigDict
) -> tuple[str, PartitionSpec]:
    """The rule that decides how a parameter is split, and what follows from it.

    Returns:
        A regex of `mesh.rules` or of `sharding_rules.py`, or `largest`, `small` or `indivisible` of the default rule.

    Raises:
        V2SError: the spec of a rule in `mesh.rules` does not fit the shape.
    """
    for pattern, spec in config.rules:
        if re.fullmatch(pattern, path):
            return pattern, _checked(PartitionSpec(*spec), path, shape, mesh)
    small = int(np.prod(shape)) < config.min_shard_size
    if mesh.shape["tensor"] > 1 and not small:
        for pattern, last in TENSOR_RULES:
            if re.fullmatch(pattern, path) and _divides(last, shape[-2:], mesh):
                return pattern, PartitionSpec(*[None] * (len(shape) - 2), *last)
    size = mesh.shape["fsdp"]
    divisible = [axis for axis, n in enumerate(shape) if n % size == 0]
    if size == 1 or small or not divisible:
        return "small" if small else "indivisible" if size > 1 else "", PartitionSpec()
    largest = max(divisible, key=lambda axis: shape[axis])
    return "largest", PartitionSpec(*["fsdp" if axis == largest else None for axis in range(len(shape))])


def _divides(spec: tuple[str | None, ...], shape: tuple[int, ...], mesh: Mesh | AbstractMesh) -> bool:
    return all(axis is None or size % mesh.shape[axis] == 0 for axis, size in zip(spec, shape, strict=True))


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
