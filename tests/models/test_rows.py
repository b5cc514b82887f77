import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from tests.small_vocoder import filled
from v2s_jax.models import dit, unet1d
from v2s_jax.models.conformer import Conformer
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.registry import build_denoiser
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.rows import in_rows, keep_rows

AXES = ("data", "fsdp", "tensor")
X, MASK = jnp.ones((8, 4, 8)), jnp.ones((8, 4), bool)


def rows(*sizes):
    devices = AbstractMesh(sizes, AXES, axis_types=(AxisType.Auto,) * 3)
    return NamedSharding(devices, PartitionSpec(("data", "fsdp")))


def constraints(function, sharding, *given):
    """How often a program says where rows are."""
    return str(jax.make_jaxpr(in_rows(function, sharding))(*given)).count("sharding_constraint[")


def denoiser(module, **sizes):
    config = module.default_config()
    config.update(sizes | dict(channels=8, condition=8, heads=2))
    model = evaluation_mode(filled(lambda: build_denoiser(config, Rngs(0))))
    return lambda x: model(x, jnp.ones(len(x)), x, MASK)


def stack():
    return denoiser(dit, width=8, hidden=8, layers=3)


def unet():
    return denoiser(unet1d, unstack=1, widths=(4, 4), middle=1, blocks=1, head_dim=2, expansion=1, groups=2)


def conformer():
    model = evaluation_mode(filled(lambda: Conformer(2, 8, 2, 8, kernel_size=3, rngs=Rngs(0))))
    return lambda x: model(x, MASK)


@pytest.mark.parametrize(("make", "layers"), [(stack, 1), (unet, 5), (conformer, 2)])
def test_every_layer_keeps_rows(make, layers):  # a scan's stands in the program once
    assert constraints(make(), rows(2, 2, 1), X) == layers


def test_rows_are_kept_where_there_are_several_devices_and_enough_rows():
    count = functools.partial(constraints, keep_rows)
    assert count(rows(2, 2, 2), X) == 1
    assert count(rows(1, 1, 1), X) == 0
    assert count(rows(2, 8, 1), X) == 0
    assert "sharding_constraint" not in str(jax.make_jaxpr(keep_rows)(X))
