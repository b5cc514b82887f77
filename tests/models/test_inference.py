import copy
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.models.inference import Inference
from v2s_jax.models.registry import MODELS, build
from v2s_jax.models.rngs import Rngs

TRACES = []


class Toy(nnx.Module):
    """Dropout, batch norm, a linear layer; what it is called with decides what it returns."""

    def __init__(self, rngs):
        self.dropout = nnx.Dropout(0.5)
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.linear = nnx.Linear(3, 2, rngs=rngs)
        self.width = 2

    def __call__(self, x, bias=None, scale=1, parts=()):
        TRACES.append((type(scale), scale))
        y = self.linear(self.norm(self.dropout(x)))
        y = y if bias is None else y + bias
        return sum(parts, y * scale) if not isinstance(scale, bool) else -y


@pytest.fixture
def toy():
    TRACES.clear()
    module = Toy(Rngs(0))
    module.norm.mean[...] = jnp.array([0.5, -1.0, 2.0])
    return Inference(module, ConfigDict({"name": "toy"}))


X = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_the_same_as_the_module_called_plainly(toy):
    expected = toy.linear(toy.norm(jnp.asarray(X)))
    np.testing.assert_allclose(toy(X), expected, atol=1e-6)
    np.testing.assert_allclose(toy.module(jnp.asarray(X)), expected, atol=1e-6)
    assert toy.width == 2 and toy.config.name == "toy"
    with pytest.raises(AttributeError, match="depth"):
        _ = toy.depth


def test_one_program_for_each_kind_of_arguments(toy):
    for x in (X, X + 1, jnp.asarray(X), torch.tensor(X)):
        toy(x)
    assert len(TRACES) == 1
    toy(X, bias=np.ones((4, 2), np.float32))
    toy(X, bias=2 * np.ones((4, 2), np.float32))
    toy(X, bias=None)  # not what leaving it out is, but the same result
    toy(X[:2])
    assert len(TRACES) == 4


def test_a_call_may_be_part_of_a_larger_program(toy):
    expected = np.asarray(toy(X))
    np.testing.assert_allclose(jax.jit(lambda x: 2 * toy(x))(X), 2 * expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda: toy(X))(), expected, rtol=1e-6)
    assert jax.eval_shape(toy, X).shape == (4, 2)
    np.testing.assert_allclose(jax.vmap(toy)(X[:, None])[:, 0], expected, rtol=1e-6)
    slope = jax.grad(lambda x: toy(x).sum())
    np.testing.assert_allclose(slope(X), jax.jit(slope)(X), rtol=1e-6)
    moved = X + np.array([1, 0, 0], np.float32)
    np.testing.assert_allclose(slope(X)[:, 0].sum(), (toy(moved) - toy(X)).sum(), rtol=1e-4)  # it is linear in X


def test_fixed_arguments_are_kept_apart_by_value_and_type(toy):
    once, thrice = toy(X, scale=1), toy(X, scale=3)
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-6)
    np.testing.assert_allclose(toy(X, scale=np.int64(3)), thrice)
    np.testing.assert_allclose(toy(X, scale=True), -once)
    assert TRACES == [(int, 1), (int, 3), (bool, True)]


def test_arrays_inside_lists_are_inputs(toy):
    for value in (1, 2):
        parts = [np.full((4, 2), value, np.float32), np.ones((4, 2), np.float32)]
        np.testing.assert_allclose(toy(X, parts=parts), toy(X) + value + 1, rtol=1e-6)
    assert len(TRACES) == 2


def test_weights_are_inputs_of_the_program(toy):
    structure, fixed = jax.tree.structure(((0,), {})), ((jax.Array, None),)
    program = toy._run.lower(toy._weights, [X], structure, fixed)
    assert len(jax.tree.leaves(program.in_avals)) == len(jax.tree.leaves(toy._weights)) + 1
    assert 'dense<"' not in program.as_text()  # how a constant of several numbers is written


def test_calls_from_several_threads(toy):
    expected = [np.asarray(toy(X * k)) for k in range(4)]
    found: list = [None] * 4

    def call(k):
        found[k] = np.asarray(toy(X * k))

    threads = [threading.Thread(target=call, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, expected)


def test_a_copy_works(toy):
    np.testing.assert_array_equal(copy.copy(toy)(X), toy(X))


def test_an_unknown_part_is_named():
    with pytest.raises(V2SError, match=f"model.name is 'toy': expected one of {', '.join(MODELS)}"):
        build(ConfigDict({"name": "toy"}), Rngs(0))
