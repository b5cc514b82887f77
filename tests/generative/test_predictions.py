import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.generative.flow_matching import CondOT
from v2s_jax.generative.predictions import Estimate, convert, from_estimate, to_estimate, velocity
from v2s_jax.generative.process import VPSDE, Cosine

PATHS = [VPSDE(), Cosine(), CondOT(), CondOT(0.0)]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def round_trip(path, source, target, data, eps, t):
    """What is said of one kind, what should be of the other, what becomes of it, and it back again."""
    x_t = path.perturb(data, eps, t)
    said, wanted = (from_estimate(path, kind, Estimate(data, eps), t) for kind in (source, target))
    there = convert(path, source, target, said, x_t, t)
    return said, wanted, there, convert(path, target, source, there, x_t, t)


@settings(max_examples=30, deadline=None)
@given(
    path=st.sampled_from(PATHS),
    t=st.tuples(st.integers(5, 95), st.integers(5, 95)),
    seed=st.integers(0, 1000),
    choose=st.data(),
)
def test_conversions_round_trip(path, t, seed, choose):
    source, target = (choose.draw(st.sampled_from(path.kinds)) for _ in range(2))
    rng = np.random.default_rng(seed)
    data, eps = (jnp.asarray(rng.standard_normal((2, 3)), jnp.float32) for _ in range(2))
    times = jnp.array(t) / 100
    said, wanted, there, back = round_trip(path, source, target, data, eps, times)
    np.testing.assert_allclose(there, wanted, atol=2e-2, rtol=2e-3)
    np.testing.assert_allclose(back, said, atol=2e-2, rtol=2e-3)


def test_kinds_by_hand():
    process, t = VPSDE(), jnp.array([0.3])
    alpha, sigma = float(process.alpha(t)[0]), float(process.sigma(t)[0])
    x_0, eps = jnp.array([[2.0]]), jnp.array([[-0.5]])
    estimate, x_t = Estimate(x_0, eps), process.perturb(x_0, eps, t)
    assert float(x_t[0, 0]) == pytest.approx(2 * alpha - 0.5 * sigma, rel=1e-5)
    expected = {"x_0": 2.0, "eps": -0.5, "v": -0.5 * alpha - 2 * sigma, "score": 0.5 / sigma}
    for kind, value in expected.items():
        assert float(from_estimate(process, kind, estimate, t)[0, 0]) == pytest.approx(value, rel=1e-5)
        found = to_estimate(process, kind, jnp.array([[value]]), x_t, t)
        np.testing.assert_allclose(found.data, x_0, rtol=1e-4)
        np.testing.assert_allclose(found.eps, eps, rtol=1e-4)


def test_velocity_is_the_derivative_of_the_path():
    x_1, x_0 = jnp.array([[1.0, 2.0]]), jnp.array([[0.5, -1.0]])
    t = jnp.array(0.25)
    found = jax.jit(velocity, static_argnums=0)
    np.testing.assert_allclose(found(CondOT(0.1), Estimate(x_1, x_0), t), x_1 - 0.9 * x_0, rtol=1e-6)
    moved = jax.jit(jax.jacfwd(lambda t: Cosine().perturb(x_1, x_0, t)))(t)
    np.testing.assert_allclose(found(Cosine(), Estimate(x_1, x_0), t), moved, rtol=1e-4)


def test_score_is_the_gradient_of_the_density():
    """Of a standard normal at any time: -x."""
    process, t = VPSDE(), jnp.array([0.4])
    x_t = jnp.array([[0.7, -1.2]])
    expected_x_0 = process.alpha(t)[:, None] * x_t
    np.testing.assert_allclose(convert(process, "x_0", "score", expected_x_0, x_t, t), -x_t, rtol=1e-5)


def test_names_of_the_other_family_are_refused():
    x = jnp.zeros((1, 1))
    with pytest.raises(ValueError, match="x_0.*expected one of x_1, velocity"):
        to_estimate(CondOT(), "x_0", x, x, jnp.array(0.5))
    with pytest.raises(ValueError, match="velocity.*expected one of x_0, eps, v, score"):
        from_estimate(VPSDE(), "velocity", Estimate(x, x), jnp.array(0.5))
