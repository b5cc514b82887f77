import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.generative.mixture import gaussian
from v2s_jax.generative import grids
from v2s_jax.generative.guidance import (
    classifier_free,
    estimate_guidance,
    independent,
    instead,
    nested,
    score_guidance,
)
from v2s_jax.generative.process import VPSDE
from v2s_jax.generative.sampling import Guidance, plan, sample
from v2s_jax.generative.solvers import build

PROCESS, SOLVER = VPSDE(), build("ddim")
START = jnp.linspace(-2, 2, 6)[:, None]


def linear(data):
    return -data.sum(-1)


def squared(data):
    return ((data - 2) ** 2).sum(-1) / 2


@pytest.fixture(scope="module")
def guided():
    """Samples of a Gaussian, guided in one of two ways at given steps and scale."""
    network = gaussian().denoiser(PROCESS)
    ways = {"score": score_guidance(linear, PROCESS), "estimate": estimate_guidance(linear)}

    @jax.jit
    def run(scale, chosen):
        times, steps = plan(PROCESS, SOLVER, 200, 200, grids.log_snr)
        one = functools.partial(sample, network, START, times, steps, path=PROCESS, kind="x_0", solver=SOLVER)
        found = {name: one(guidance=Guidance(way, scale, chosen)) for name, way in ways.items()}
        return found | {"none": one()}

    return run


def test_no_guidance_at_scale_0_to_the_bit(guided):
    everywhere = jnp.ones(200, bool)
    for found in (guided(jnp.array(0.0), everywhere), guided(jnp.array(3.0), ~everywhere)):
        np.testing.assert_array_equal(found["score"], found["none"])
        np.testing.assert_array_equal(found["estimate"], found["none"])


def test_score_guidance_samples_the_tilted_distribution(guided):
    """N(0.6, 0.5^2) times exp(2 x) is N(0.6 + 2 * 0.5^2, 0.5^2): for a linear energy the estimate's is the data's."""
    found = guided(jnp.array(2.0), jnp.ones(200, bool))
    np.testing.assert_allclose(found["score"] - found["none"], 0.5, atol=0.01)


def test_estimate_guidance_lowers_the_energy_by_its_scale(guided):
    weak, strong = (guided(jnp.array(scale), jnp.ones(200, bool))["estimate"] for scale in (0.05, 0.2))
    plain = guided(jnp.array(0.0), jnp.ones(200, bool))["none"]
    assert (linear(plain) > linear(weak)).all() and (linear(weak) > linear(strong)).all()


def test_guidance_by_hand():
    """The network halves x_t, so d energy / d x_t = (x_t / 2 - 2) / 2."""
    x_t, t, scale = jnp.array([[1.0], [-3.0]]), jnp.array(0.3), jnp.array(0.7)
    found = score_guidance(squared, PROCESS)(lambda x: x / 2, x_t, t, scale)
    push = 0.7 * PROCESS.sigma(t) ** 2 / PROCESS.alpha(t)
    np.testing.assert_allclose(found, x_t / 2 - push * (x_t / 2 - 2) / 2, rtol=1e-5)
    found = estimate_guidance(squared)(lambda x: x / 2, x_t, t, scale)
    np.testing.assert_allclose(found, x_t / 2 - 0.7 * (x_t / 2 - 2), rtol=1e-5)


def test_combinations_by_hand():
    predictions, scales = jnp.array([[[1.0]], [[2.0]], [[5.0]]]), jnp.array([2.0, 0.5])
    assert float(nested(predictions, scales)[0, 0]) == 1 + 2 * (2 - 1) + 0.5 * (5 - 2)
    assert float(independent(predictions, scales)[0, 0]) == 1 + 2 * (2 - 1) + 0.5 * (5 - 1)
    np.testing.assert_array_equal(nested(predictions, jnp.zeros(2)), predictions[0])
    np.testing.assert_array_equal(nested(predictions, jnp.ones(2)), predictions[2])


def test_classifier_free_runs_all_branches_in_one_batch():
    seen = []

    def network(x, t, condition):
        seen.append((x.shape, t.shape))
        return x * t[:, None] + condition["offset"]

    x, t = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.5, 0.25])
    offset = jnp.array([[[0.0], [0.0]], [[1.0], [10.0]], [[2.0], [30.0]]])
    found = classifier_free(network, {"offset": offset}, jnp.array([2.0, 3.0]))(x, t)
    assert seen == [((6, 2), (6,))]
    expected = x * t[:, None] + jnp.array([[2 * 1 + 3 * 1.0], [2 * 10 + 3 * 20.0]])
    np.testing.assert_allclose(found, expected)
    found = classifier_free(network, {"offset": offset}, jnp.array([2.0, 3.0]), independent)(x, t)
    np.testing.assert_allclose(found, x * t[:, None] + jnp.array([[2 * 1 + 3 * 2.0], [2 * 10 + 3 * 30.0]]))


def test_classifier_free_at_chosen_steps_only():
    """The others are the conditional network's own: as many rows there as in the batch, not twice as many."""
    rows = []

    def network(x, t, condition):
        jax.debug.callback(lambda: rows.append(len(x)))
        return x * 0 + condition

    conditions = jnp.array([[[0.0], [0.0]], [[1.0], [2.0]]])
    both = classifier_free(network, conditions, jnp.array([3.0]))
    guidance = Guidance(instead(both, PROCESS, "x_0"), 1.0, jnp.array([True, False]))
    times, steps = plan(PROCESS, SOLVER, 2, 2)

    def own(x, t):
        return network(x, t, conditions[1])

    run = functools.partial(sample, own, jnp.zeros((2, 1)), times, path=PROCESS, kind="x_0", solver=SOLVER)
    found = run(steps, guidance=guidance)
    jax.effects_barrier()
    assert rows == [4, 2]
    np.testing.assert_array_equal(found, conditions[1])
    first = run(1, guidance=guidance)
    t, s = times[0], times[1]
    data = 3 * conditions[1]
    expected = PROCESS.alpha(s) * data - PROCESS.sigma(s) * PROCESS.alpha(t) * data / PROCESS.sigma(t)
    np.testing.assert_allclose(first, expected, rtol=1e-5)
