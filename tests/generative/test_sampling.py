import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.generative.mixture import gaussian, pair
from v2s_jax.generative import grids
from v2s_jax.generative.flow_matching import CondOT
from v2s_jax.generative.noise import frame_noise, row_keys
from v2s_jax.generative.process import VPSDE
from v2s_jax.generative.sampling import Guidance, evaluations_of, plan, sample
from v2s_jax.generative.solvers import SOLVERS, build

PROCESS = VPSDE()


def test_every_solver_counts_its_evaluations():
    """One compilation for all counts, and the network is called as often as was said."""
    traces, calls = [], collections.Counter()
    table = jnp.ones((25, 3, 1))

    @jax.jit
    def run(evaluations):
        traces.append(evaluations)

        def one(name):
            def network(x, t):
                jax.debug.callback(lambda: calls.update([name]))
                return x / (1 + t[:, None])

            solver = build(name)
            times, steps = plan(PROCESS, solver, evaluations, 12)
            x = sample(
                network, table[0], times, steps, path=PROCESS, kind="x_0", solver=solver, noise=table.__getitem__
            )
            return x, evaluations_of(PROCESS, solver, steps)

        return {name: one(name) for name in SOLVERS}

    for evaluations in (12, 1, 5, 11, 40):
        calls.clear()
        for name, (x, said) in run(evaluations).items():
            jax.effects_barrier()
            assert calls[name] == int(said), name
            solver = build(name)
            asked, spare = min(evaluations, 12), solver.evaluations - 1
            assert asked - spare <= int(said) <= max(asked, solver.last_evaluations), name
            assert np.isfinite(x).all(), name
    assert len(traces) == 1


def test_a_two_stage_solver_pays_for_no_jump():
    heun = build("heun")
    assert evaluations_of(PROCESS, heun, 5) == 9  # t = 0 is clean
    assert evaluations_of(CondOT(), heun, 5) == 10 and evaluations_of(CondOT(0.0), heun, 5) == 9
    for evaluations, steps in ((1, 1), (2, 1), (3, 2), (10, 5), (11, 6)):
        assert int(plan(PROCESS, heun, evaluations, 20)[1]) == steps
        assert int(plan(CondOT(), heun, evaluations, 20)[1]) == max(evaluations // 2, 1)


@pytest.mark.parametrize("name", [name for name in SOLVERS if build(name).draws])
def test_a_solver_that_draws_noise_needs_some(name):
    x = jnp.zeros((1, 1))
    with pytest.raises(ValueError, match="draws noise"):
        sample(lambda x, t: x, x, jnp.array([1.0, 0.0]), 1, path=PROCESS, kind="x_0", solver=build(name))


def test_steps_beyond_the_grid_are_refused():
    x, times = jnp.zeros((1, 1)), jnp.array([1.0, 0.5, 0.0])
    run = functools.partial(sample, lambda x, t: x, x, times, path=PROCESS, kind="x_0", solver=build("ddim"))
    with pytest.raises(ValueError, match="3 steps need 4 times: there are 3"):
        run(3)
    with pytest.raises(ValueError, match="guidance.steps has 3 entries: the grid has 2 steps"):
        run(2, guidance=Guidance(lambda denoise, x, t, scale: denoise(x), 1.0, jnp.ones(3, bool)))


def test_one_evaluation_is_the_network_s_own_estimate():
    x, times = jnp.array([[0.3], [-1.0]]), jnp.array([1.0, 0.0])

    @jax.jit
    def run(x):
        def one(name):
            return sample(
                lambda x, t: 2 * x, x, times, 1, path=PROCESS, kind="x_0", solver=build(name), noise=lambda _: x
            )

        return {name: one(name) for name in SOLVERS if name != "predictor_corrector"}

    for name, found in run(x).items():
        np.testing.assert_allclose(found, 2 * x, rtol=1e-5, err_msg=name)


def test_kinds_lead_to_the_same_sample():
    x = jnp.linspace(-2, 2, 4)[:, None]

    @functools.partial(jax.jit, static_argnums=0)
    def run(kind):
        times, steps = plan(PROCESS, build("ddim"), 6, 6)
        return sample(pair().denoiser(PROCESS, kind), x, times, steps, path=PROCESS, kind=kind, solver=build("ddim"))

    expected = run("x_0")
    for kind in PROCESS.kinds[1:]:
        np.testing.assert_allclose(run(kind), expected, atol=2e-4)


def test_estimates_are_clipped():
    times, steps = plan(PROCESS, build("ddim"), 5, 5)
    run = functools.partial(sample, path=PROCESS, kind="x_0", solver=build("ddim"))
    x = jnp.ones((1, 2))
    assert float(run(lambda x, t: x + 9, x, times, steps).min()) > 1
    np.testing.assert_array_equal(run(lambda x, t: x + 9, x, times, steps, clip=1.0), x)


def test_state_is_float32_whatever_the_inputs_are():
    seen = []

    def network(x, t):
        seen.append((x.dtype, t.dtype))
        return x.astype(jnp.bfloat16) / 3

    x = jnp.linspace(-1, 1, 6, dtype=jnp.bfloat16).reshape(3, 2)
    solver = build("sde_dpm_solver++")
    times, steps = plan(PROCESS, solver, 4, 4)

    def noise(number):
        return jnp.full((3, 2), 0.5, jnp.bfloat16)

    found = sample(network, x, times, steps, path=PROCESS, kind="x_0", solver=solver, noise=noise)
    assert set(seen) == {(jnp.dtype("float32"), jnp.dtype("float32"))} and found.dtype == jnp.float32
    assert (found != found.astype(jnp.bfloat16)).any()


def test_a_clip_samples_the_same_in_any_batch_and_padding():
    """3 rows of 5 frames, and the last of them alone in 3 frames: the same noise to the bit, the same clip."""
    data = gaussian().denoiser(PROCESS)

    def network(x, t):
        return data(x.reshape(-1, 1), t).reshape(x.shape)

    @functools.partial(jax.jit, static_argnums=1)
    def run(keys, frames):
        table = jax.lax.map(frame_noise(keys, (frames, 2)), jnp.arange(9))

        def one(name):
            times, steps = plan(PROCESS, build(name), 8, 8)
            start, noise = table[0], table.__getitem__
            return sample(network, start, times, steps, path=PROCESS, kind="x_0", solver=build(name), noise=noise)

        return table, {name: one(name) for name in SOLVERS}

    noise, together = run(row_keys(jax.random.key(0), jnp.array([7, 3, 9])), 5)
    noise_alone, alone = run(row_keys(jax.random.key(0), jnp.array([9])), 3)
    np.testing.assert_array_equal(noise[:, 2, :3], noise_alone[:, 0])
    for name in SOLVERS:
        assert (together[name][1] != together[name][2]).any()
        # Not to the bit: with other shapes XLA multiplies and adds in one instruction elsewhere.
        np.testing.assert_allclose(together[name][2, :3], alone[name][0], atol=1e-6, err_msg=name)


def test_the_padded_grid_is_not_walked():
    """Times beyond the count may be anything."""
    times, steps = plan(PROCESS, build("ddim"), 4, 9)
    run = functools.partial(sample, path=PROCESS, kind="x_0", solver=build("ddim"))
    x = jnp.ones((1, 1))
    expected = run(pair().denoiser(PROCESS), x, times, steps)
    np.testing.assert_array_equal(run(pair().denoiser(PROCESS), x, times.at[5:].set(jnp.nan), 4), expected)
    np.testing.assert_allclose(run(pair().denoiser(PROCESS), x, grids.uniform(PROCESS, 4, 4), 4), expected, rtol=1e-6)


def test_flows_are_sampled_the_other_way():
    """From t = 0, where x_0 is noise; a single Gaussian's ODE is known."""
    path, x_0 = CondOT(), jnp.linspace(-2, 2, 5)[:, None]
    times, steps = plan(path, build("midpoint"), 128, 128)
    found = sample(
        gaussian().denoiser(path, "velocity"),
        x_0,
        times,
        steps,
        path=path,
        kind="velocity",
        solver=build("midpoint"),
    )
    np.testing.assert_allclose(found, 0.6 + 0.5 * x_0, atol=2e-3)


def test_unguided_steps_cost_nothing():
    calls = []

    def correct(denoise, x, t, scale):
        jax.debug.callback(lambda: calls.append(1))
        return denoise(x)

    chosen = jnp.array([False, True, False, True, True, False])
    run = functools.partial(sample, path=PROCESS, kind="x_0", solver=build("ddim"))
    times, steps = plan(PROCESS, build("ddim"), 6, 6)
    for scale, expected in ((1.0, 3), (0.0, 0)):
        calls.clear()
        run(lambda x, t: x / 2, jnp.ones((1, 1)), times, steps, guidance=Guidance(correct, scale, chosen))
        jax.effects_barrier()
        assert len(calls) == expected
