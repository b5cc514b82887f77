import jax
import numpy as np
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.models.rngs import Rngs


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.sampled_from(["params", "noise", "dropout"]), max_size=6))
def test_keys_are_those_of_nnx(seed, drawn):
    ours, theirs = Rngs(seed, noise=3), nnx.Rngs(seed, noise=3)
    for name in drawn:
        np.testing.assert_array_equal(*(jax.random.key_data(getattr(rngs, name)()) for rngs in (ours, theirs)))
    np.testing.assert_array_equal(*(jax.random.key_data(rngs.split(3)["noise"].key[...]) for rngs in (ours, theirs)))


def test_modules_take_them():
    def make(rngs):
        return nnx.Sequential(nnx.Linear(2, 3, rngs=rngs), nnx.Linear(3, 2, rngs=rngs))

    ours, theirs = (nnx.state(nnx.vmap(make)(kind(0).split(2))) for kind in (Rngs, nnx.Rngs))
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(ours), nnx.to_pure_dict(theirs))


def test_a_traced_draw_is_one_fold_and_no_counting():
    def draw(rngs):
        return [rngs() for _ in range(3)]

    primitives = [str(e.primitive) for e in jax.make_jaxpr(lambda: draw(Rngs(jax.random.key(0))))().eqns]
    counting = [str(e.primitive) for e in jax.make_jaxpr(lambda: draw(nnx.Rngs(jax.random.key(0))))().eqns]
    assert primitives.count("random_fold_in") == counting.count("random_fold_in") == 3
    assert "add" not in primitives and "add" in counting
