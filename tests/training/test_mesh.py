import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, PartitionSpec

from tests import small_faces2voices
from tests.training import toy
from v2s_jax.errors import V2SError
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.registry import build
from v2s_jax.training import mesh, plan
from v2s_jax.training.overview import overview
from v2s_jax.training.paths import flatten
from v2s_jax.training.sharding_rules import TENSOR_RULES
from v2s_jax.training.state import split_system


@pytest.fixture(scope="module")
def sharded():
    """What `sharded.py` printed."""
    command = [sys.executable, "-W", "error", "-m", "tests.training.sharded"]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", ["data", "fsdp", "tensor", "mixed"])
def test_eight_devices_train_as_one(sharded, name):
    np.testing.assert_allclose(sharded[name]["losses"], sharded["one"]["losses"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(sharded[name]["mean"], sharded["one"]["mean"], atol=1e-5)
    assert sharded[name]["compiled_later"] == 0


def test_parameters_lie_as_the_rules_say_and_moments_and_averages_with_them(sharded):
    expected = {"trunk/kernel": ["fsdp", None], "heads/0/kernel": [None, "tensor"]}
    for path, spec in expected.items():
        assert sharded["mixed"]["specs"][path] == spec
    for kind in ("moments", "ema"):
        assert sharded["mixed"][kind] == sharded["mixed"]["specs"]
    assert sharded["fsdp"]["specs"]["heads/0/kernel"] == [None, "fsdp"]
    assert not any(sharded["data"]["specs"].values())


def test_activations_stay_with_their_rows_where_parameters_are_split(sharded):
    assert sharded["spread"]["kept"][0] == ["data", "fsdp"]
    assert sharded["spread"]["free"][0] != ["data", "fsdp"]  # or there would be nothing to keep


def section(**settings):
    config = toy.toy_config().mesh
    config.update(settings)
    return config


def abstract_mesh(**sizes):
    shape = tuple(sizes.get(axis, 1) for axis in mesh.AXES)
    return jax.sharding.AbstractMesh(shape, mesh.AXES, axis_types=(AxisType.Auto,) * 3)


def test_default_rule_splits_the_largest_divisible_dimension():
    devices = abstract_mesh(fsdp=4)
    config = section(min_shard_size=1)
    assert mesh.parameter_spec("a", (3, 8, 16), devices, config) == PartitionSpec(None, None, "fsdp")
    assert mesh.parameter_spec("a", (8, 17), devices, config) == PartitionSpec("fsdp", None)
    assert mesh.parameter_spec("a", (3, 5), devices, config) == PartitionSpec()
    assert mesh.parameter_spec("a", (8, 16), devices, section(min_shard_size=129)) == PartitionSpec()


def test_families_are_split_by_columns_then_rows():
    devices, config = abstract_mesh(fsdp=2, tensor=4), section(min_shard_size=1)

    def spec(path, *shape):
        return mesh.parameter_spec(path, shape, devices, config)

    assert spec("encoder/encoder/layers/query/kernel", 3, 8, 16) == PartitionSpec(None, "fsdp", "tensor")
    assert spec("encoder/encoder/layers/7/narrow/kernel", 8, 16) == PartitionSpec("tensor", "fsdp")
    assert spec("voice/content/conformer/blocks/0/feed_forward1/widen/kernel", 8, 16) == PartitionSpec("fsdp", "tensor")
    assert spec("decoder/layers/qkv/kernel", 3, 8, 24) == PartitionSpec(None, "fsdp", None)
    # What the tensor axis does not divide follows the default, as does all else and everything without such an axis.
    assert spec("encoder/encoder/layers/query/kernel", 3, 8, 6) == PartitionSpec(None, "fsdp", None)
    assert spec("decoder/join/kernel", 8, 16) == PartitionSpec(None, "fsdp")
    devices = abstract_mesh(fsdp=2)
    assert spec("encoder/encoder/layers/query/kernel", 3, 8, 16) == PartitionSpec(None, None, "fsdp")


def test_every_family_names_parameters_of_a_system():
    system = nnx.eval_shape(lambda: build(small_faces2voices.small_config(), Rngs(0)))
    paths = flatten(split_system(system)[1])
    for pattern, _ in TENSOR_RULES:
        assert any(re.fullmatch(pattern, path) for path in paths), pattern


def test_the_table_of_parameters_says_what_each_device_holds(toy_system):
    config = toy.toy_config(**{"mesh.min_shard_size": 64, "mesh.rules": ((".*heads/0/kernel", (None, "tensor")),)})
    system, players = plan.abstract_system(config)
    shapes = jax.eval_shape(plan.initial_state(config, players), jax.random.key(0))
    table = overview(shapes, players, abstract_mesh(fsdp=2, tensor=4), config.mesh)
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert rows["trunk/kernel"] == ["64x16", "float32", "main", "x1", "32x16", "largest"]
    assert rows["heads/0/kernel"] == ["16x320", "float32", "main", "x1", "16x80", ".*heads/0/kernel"]
    assert rows["norm/scale"][-2:] == ["16", "small"] and rows["norm/mean"][-1] == "16"


def test_rules_come_first_and_must_fit():
    devices = abstract_mesh(tensor=4)
    config = section(rules=(("head/.*", ("tensor", None)),))
    assert mesh.parameter_spec("head/kernel", (8, 3), devices, config) == PartitionSpec("tensor", None)
    assert mesh.parameter_spec("my/head/kernel", (8, 3), devices, config) == PartitionSpec()
    with pytest.raises(V2SError, match="does not fit head/kernel"):
        mesh.parameter_spec("head/kernel", (6, 3), devices, config)


@pytest.mark.parametrize("sizes", [{"data": 2}, {"data": 0}, {"data": -1, "fsdp": 3}, {"data": -1, "fsdp": -1}])
def test_meshes_that_do_not_fit_the_devices_are_refused(sizes):
    with pytest.raises(V2SError, match="does not fit the 1 devices"):
        mesh.make_mesh(section(**sizes))


def test_a_data_axis_that_slices_do_not_divide_is_refused():
    with pytest.raises(V2SError, match="slices is 2, but the data axis of 1"):
        mesh.make_mesh(section(slices=2))


def test_a_mesh_on_the_command_line():
    assert mesh.parse_axes("fsdp=16, tensor=2") == {"data": -1, "fsdp": 16, "tensor": 2}
    for text in ("fsdp", "fsdp=0", "rows=2", "data=two", ""):
        with pytest.raises(V2SError, match="write data=-1"):
            mesh.parse_axes(text)


def test_a_mesh_has_automatic_axes():
    devices = mesh.make_mesh(section())
    assert devices.axis_names == ("data", "fsdp", "tensor") and set(devices.axis_types) == {AxisType.Auto}


def test_rows_must_divide_evenly():
    mesh.check_rows(8, abstract_mesh(data=2, fsdp=2))
    with pytest.raises(V2SError, match="splits batches in 4"):
        mesh.check_rows(6, abstract_mesh(data=2, fsdp=2, tensor=2))


def test_a_batch_keeps_absent_fields_absent():
    rows = mesh.batch_sharding(mesh.make_mesh(section()))
    batch = mesh.put_batch(toy.ToyLoader().batch(0), rows)
    assert batch.units is None and batch.mouth.sharding == rows and batch.mouth.dtype == np.uint8
