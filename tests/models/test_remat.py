import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.models.conformer import Conformer
from v2s_jax.models.registry import build_denoiser
from v2s_jax.models.remat import KEEP_ALL, KEEP_NOTHING, POLICIES, current, policy_name
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import svts
from v2s_jax.training.flops import count_flops

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 8)), jnp.float32)
MASK = jnp.arange(7)[None] < jnp.array([[7], [4]])
WIDTHS = dict(channels=8, condition=8, width=8, heads=2, hidden=16, layers=2, dropout=0.5)


def dit(policy):
    """A small stack of layers."""
    config = ConfigDict(WIDTHS | dict(name="dit", scan=True, remat=policy))
    model = build_denoiser(config, Rngs(0))
    return model, lambda model: model(X, jnp.ones(2), X, MASK, Rngs(dropout=1))


def conformer(policy):
    """Small blocks that change running statistics."""
    model = Conformer(1, 8, 2, 16, kernel_size=3, dropout=0.5, rngs=Rngs(0), remat=policy)
    return model, lambda model: model(X, MASK, Rngs(dropout=1))


def loss_of(make, policy):
    """Parameters and statistics, and a loss of them with the statistics that it leaves."""
    model, call = make(policy)
    graphdef, *variables = nnx.split(model, nnx.Param, ...)
    params, stats = map(nnx.to_pure_dict, variables)

    def loss(params):
        merged = nnx.merge(graphdef, params, stats)
        return jnp.sum(call(merged) ** 2), nnx.to_pure_dict(nnx.state(merged, nnx.BatchStat))

    return params, loss


def cost(make, policy):
    """FLOPs of a gradient, and bytes kept for it."""
    params, loss = loss_of(make, policy)
    kept = jax.eval_shape(lambda params: jax.vjp(lambda params: loss(params)[0], params)[1], params)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))
    return count_flops(jax.grad(lambda params: loss(params)[0]), params), size


@functools.cache
def gradient(make, policy):
    """The gradient, and the statistics that are left."""
    params, loss = loss_of(make, policy)
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # a new DiT says nothing
    return jax.jit(jax.grad(loss, has_aux=True))(params)


@pytest.mark.parametrize("make", [dit, conformer])
def test_what_a_policy_does_not_keep_is_computed_again(make):
    flops, sizes = zip(*(cost(make, policy) for policy in POLICIES), strict=True)
    everything, products, weights_alone, nothing = range(4)
    assert flops[everything] == flops[products] < flops[weights_alone] < flops[nothing]
    assert sizes[everything] > sizes[products] > sizes[weights_alone] > sizes[nothing]


@pytest.mark.parametrize("policy", POLICIES[2:])
@pytest.mark.parametrize("make", [dit, conformer])
def test_computing_again_changes_neither_gradients_nor_statistics(make, policy):
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(compare, gradient(make, KEEP_ALL), gradient(make, policy))


def test_statistics_move_where_blocks_are_computed_again():
    moved = jax.tree.leaves(gradient(conformer, KEEP_NOTHING)[1])
    assert len(moved) == 2 and all((leaf != 0).any() and (leaf != 1).any() for leaf in moved)


def test_a_setting_may_be_a_switch_and_must_be_known():
    assert [policy_name(setting) for setting in (False, True, "False", "True")] == [KEEP_ALL, KEEP_NOTHING] * 2
    for setting in ("dots", "", "save_only_these_names"):
        with pytest.raises(V2SError, match=f"remat is {setting!r}: expected one of everything_saveable, dots_save"):
            policy_name(setting)
    for make in (dit, conformer):
        with pytest.raises(V2SError, match="remat is 'all'"):
            make("all")


def test_sections_of_earlier_versions_are_understood():
    default = {"remat": KEEP_ALL, "decoder": {"remat": KEEP_ALL, "width": 3}, "crop": 96}
    assert current({"decoder": {"remat": True, "width": 4}}, default) == {
        "remat": KEEP_ALL,
        "decoder": {"remat": KEEP_NOTHING, "width": 4},
    }
    assert current({"remat": "dots", "crop": {"remat": 3}}, default) == {"remat": "dots", "crop": {"remat": 3}}
    assert current([], default) == []


def test_regressors_have_the_setting_too():
    config = svts.default_config("tiny")
    config.remat = KEEP_NOTHING
    assert nnx.eval_shape(lambda: svts.SVTS(config, rngs=Rngs(0))).conformer.remat == KEEP_NOTHING
