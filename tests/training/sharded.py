"""Trains the toy on eight fake devices in several meshes; prints losses, shardings and late compilations as JSON.

A program of its own, since the number of devices is fixed once jax has started.
"""

import json

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

jax.config.update("jax_num_cpu_devices", 8)

from tests.training import toy  # noqa: E402
from v2s_jax.models.rngs import Rngs  # noqa: E402
from v2s_jax.models.rows import in_rows, keep_rows  # noqa: E402
from v2s_jax.training import mesh  # noqa: E402
from v2s_jax.training.paths import flatten  # noqa: E402
from v2s_jax.training.state import create_state, make_players  # noqa: E402
from v2s_jax.training.step import compile_train_step, make_train_step  # noqa: E402

COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, _, **__: COMPILED.append(name) if name.endswith("backend_compile_duration") else None
)
RULE = ((".*heads/0/kernel", (None, "tensor")),)
MESHES = {
    "one": None,
    "data": {"data": 8},
    "fsdp": {"data": 1, "fsdp": 8},
    "tensor": {"data": 1, "tensor": 8, "rules": RULE},
    "mixed": {"data": 2, "fsdp": 2, "tensor": 2, "rules": RULE},
}


def train(name: str) -> dict:
    config = toy.toy_config(**{"mesh.min_shard_size": 64})
    config.mesh.update(MESHES[name] or {})
    system = toy.Toy(Rngs(0))
    players = make_players(system, system.stages()["all"], config)
    state = create_state(system, players, 0.9, jax.random.key(1))
    if MESHES[name] is None:
        shape = (1,) * len(mesh.AXES)
        devices = jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(shape), mesh.AXES)
    else:
        devices = mesh.make_mesh(config.mesh)
    shardings = mesh.state_shardings(state, players, devices, config.mesh)
    rows = mesh.batch_sharding(devices)
    state = jax.device_put(state, shardings)
    step = compile_train_step(make_train_step(system, players, 0.9), shardings, rows)
    losses = []
    for number in range(20):
        if number == 1:
            assert COMPILED
            COMPILED.clear()  # whatever is compiled from now on should not be
        state, metrics = step(state, mesh.put_batch(toy.ToyLoader().batch(number), rows))
        losses.append(float(metrics["loss"]))
    compiled_later = len(COMPILED)
    specs = {path: list(leaf.sharding.spec) for path, leaf in flatten(state["params"]).items()}
    moments = state["opt_state"]["main"][1].mu
    return {
        "losses": losses,
        "specs": specs,
        "moments": {path: list(leaf.sharding.spec) for path, leaf in flatten(moments).items()},
        "ema": {path: list(leaf.sharding.spec) for path, leaf in flatten(state["ema"]).items()},
        "mean": np.asarray(state["stats"]["norm"]["mean"]).tolist(),
        "compiled_later": compiled_later,
    }


def spread() -> dict:
    """How a product lies by whose weights are split by columns: as the compiler likes, and with its rows kept."""
    devices = mesh.make_mesh(toy.toy_config(**{"mesh.data": 2, "mesh.fsdp": 4}).mesh)
    everywhere, columns = (NamedSharding(devices, PartitionSpec(None, axis)) for axis in (None, "fsdp"))
    given = jax.device_put(np.ones((8, 16)), everywhere), jax.device_put(np.ones((16, 32)), columns)

    def product(x, weights):
        return keep_rows(x @ weights)

    ways = {"free": product, "kept": in_rows(product, mesh.batch_sharding(devices))}
    return {name: list(jax.jit(way)(*given).sharding.spec) for name, way in ways.items()}


if __name__ == "__main__":
    print(json.dumps({name: train(name) for name in MESHES} | {"spread": spread()}))
