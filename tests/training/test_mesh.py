import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from tests.training import toy
from v2s_jax.errors import V2SError
from v2s_jax.training import mesh


@pytest.fixture(scope="module")
def sharded():
    """What `sharded.py` printed."""
    command = [sys.executable, "-W", "error", "-m", "tests.training.sharded"]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", ["data", "fsdp", "mixed"])
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
