"""Every solver on distributions whose perfect network is known: moments, exact end points and order of convergence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.generative.mixture import gaussian, pair, triangle
from v2s_jax.generative import grids
from v2s_jax.generative.flow_matching import CondOT
from v2s_jax.generative.process import VPSDE, Cosine
from v2s_jax.generative.sampling import plan, sample, velocity_field
from v2s_jax.generative.solvers import SOLVERS, build
from v2s_jax.generative.solvers.ddim import DDIM
from v2s_jax.generative.solvers.ddpm import DDPM, posterior
from v2s_jax.generative.solvers.dormand_prince import integrate
from v2s_jax.generative.solvers.dpm_solver import SDEDPMSolver

ROWS, STEPS = 2000, 200


@pytest.fixture(scope="module")
def samples():
    """Of `triangle`, by every solver in 200 steps, in one program."""
    target, process = triangle(), Cosine()

    @jax.jit
    def run(start, key):
        def noise(number):
            return jax.random.normal(jax.random.fold_in(key, number), start.shape)

        def one(name):
            solver = build(name)
            times = grids.log_snr(process, STEPS, STEPS)
            return sample(
                target.denoiser(process), start, times, STEPS, path=process, kind="x_0", solver=solver, noise=noise
            )

        return {name: one(name) for name in SOLVERS}

    return run(jax.random.normal(jax.random.key(0), (ROWS, 2)), jax.random.key(1))


@pytest.mark.parametrize("name", SOLVERS)
def test_moments_of_a_mixture(samples, name):
    target = triangle()
    x = np.asarray(samples[name], np.float64)
    error = np.sqrt(np.diag(target.covariance) / ROWS)
    np.testing.assert_array_less(np.abs(x.mean(0) - target.mean), 4 * error)
    np.testing.assert_allclose(np.cov(x.T), target.covariance, atol=0.06)
    nearest = np.argmin(((x[:, None] - target.means) ** 2).sum(-1), 1)
    np.testing.assert_allclose(np.bincount(nearest, minlength=3) / ROWS, target.shares, atol=0.05)
    inside = np.concatenate([x[nearest == k] - target.means[k] for k in range(3)])
    assert inside.std() == pytest.approx(target.std, rel=0.06)


@pytest.mark.parametrize("path", [VPSDE(), CondOT()], ids=lambda p: type(p).__name__)
def test_ode_solvers_converge_with_their_order(path):
    """Over 0.7 of the probability-flow ODE of a mixture, half the step gives a half or a quarter of the error."""
    network, end = pair().denoiser(path), path.noise_time + 0.7 * (path.data_time - path.noise_time)
    x = jnp.linspace(-2, 2, 7)[:, None]
    orders = {"euler": 1, "ddim": 1, "heun": 2, "midpoint": 2, "dpm_solver++": 2}

    @jax.jit
    def run(steps):
        field = velocity_field(network, path, path.data_name)
        exact, _ = integrate(field, x, path.noise_time, end, rtol=1e-6, atol=1e-6)
        times = path.noise_time + jnp.minimum(jnp.arange(65) / steps, 1) * (end - path.noise_time)
        one = functools.partial(sample, network, x, times, steps, path=path, kind=path.data_name)
        return {name: jnp.abs(one(solver=build(name)) - exact).max() for name in orders}

    coarse, fine = run(32), run(64)
    for name, order in orders.items():
        assert np.log2(coarse[name] / fine[name]) == pytest.approx(order, abs=0.2), name


def test_dormand_prince_agrees_with_the_exact_end_at_little_cost():
    path, x = CondOT(1e-3), jnp.linspace(-2, 2, 7)[:, None]
    field = velocity_field(gaussian().denoiser(path, "velocity"), path, "velocity")
    end, evaluations = jax.jit(lambda x: integrate(field, x, 0.0, 1.0))(x)
    np.testing.assert_allclose(end, 0.6 + 0.5 * x, atol=3e-5)
    assert 7 < int(evaluations) < 150
    loose, fewer = jax.jit(lambda x: integrate(field, x, 0.0, 1.0, rtol=1e-2, atol=1e-2))(x)
    assert int(fewer) < int(evaluations)
    assert np.abs(loose - (0.6 + 0.5 * x)).max() > np.abs(end - (0.6 + 0.5 * x)).max()


def test_dormand_prince_is_of_fifth_order_and_says_when_it_gave_up():
    """dy/dt = y: one step of h errs by h^6 / 720 - h^6 / 600; the tolerance admits it."""
    grown, evaluations = integrate(lambda y, t: y, {"y": jnp.ones(2)}, 0.0, 1.0, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(grown["y"], np.e, rtol=2e-6)
    back, _ = integrate(lambda y, t: y, grown, 1.0, 0.0, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(back["y"], 1, rtol=4e-6)
    assert np.isnan(integrate(lambda y, t: y, jnp.ones(2), 0.0, 1.0, max_steps=2)[0]).all()


def test_the_posterior_is_ho_et_als():
    """Equations 6 and 7, written with betas."""
    process, steps = VPSDE(), 20
    beta, t = process.betas(steps), np.arange(steps + 1) / steps
    for i in (2, 11, 20):
        alpha_bar, before = (float(process.alpha_bar(jnp.array(u))) for u in (t[i], t[i - 1]))
        b = float(beta[i - 1])
        expected = (
            np.sqrt(1 - b) * (1 - before) / (1 - alpha_bar),
            np.sqrt(before) * b / (1 - alpha_bar),
            (1 - before) / (1 - alpha_bar) * b,
        )
        np.testing.assert_allclose(posterior(process, jnp.array(t[i]), jnp.array(t[i - 1])), expected, rtol=2e-4)


def test_three_names_of_ancestral_sampling():
    """DDPM, DDIM with eta = 1 and the first-order SDE-DPM-Solver++ take the same step from the same noise."""
    x = jnp.array([[0.4], [-1.1]])
    solvers = [DDPM(), DDIM(eta=1.0), SDEDPMSolver(), DDPM("beta")]
    network = pair().denoiser(VPSDE())

    @jax.jit
    def run(times):
        step = functools.partial(sample, network, x, times, 1, path=VPSDE(), kind="x_0", noise=lambda _: x / 3)
        return [step(solver=solver) for solver in solvers], network(x, times[:1])

    (ddpm, ddim, sde, louder), _ = run(jnp.array([0.7, 0.4]))
    np.testing.assert_allclose(ddim, ddpm, atol=1e-5)
    np.testing.assert_allclose(sde, ddpm, atol=1e-5)
    assert (jnp.abs(louder - ddpm) > 1e-3).all()
    jumps, estimate = run(jnp.array([0.7, 0.0]))
    for jump in jumps:
        np.testing.assert_allclose(jump, estimate, atol=1e-5)


def test_the_beta_variance_is_that_of_one_forward_step():
    process, x = VPSDE(), jnp.zeros((1, 1))
    t, s = jnp.array(0.5), jnp.array(0.45)
    step = functools.partial(
        sample, lambda x, t: 0 * x, x, jnp.stack([t, s]), 1, path=process, kind="x_0", noise=lambda i: x + 1
    )
    expected = np.sqrt(1 - float(process.alpha_bar(t) / process.alpha_bar(s)))
    assert float(step(solver=DDPM("beta"))[0, 0]) == pytest.approx(expected, rel=1e-4)


def test_ddim_between_deterministic_and_ancestral():
    process, x = VPSDE(), jnp.array([[0.4]])
    t, s = jnp.array(0.7), jnp.array(0.4)
    run = functools.partial(
        sample, lambda x, t: x / 2, x, jnp.stack([t, s]), 1, path=process, kind="x_0", noise=lambda i: x * 0 + 1
    )
    eps = (0.4 - process.alpha(t) * 0.2) / process.sigma(t)
    variance = 0.3**2 * posterior(process, t, s)[2]
    expected = process.alpha(s) * 0.2 + jnp.sqrt(process.sigma(s) ** 2 - variance) * eps + jnp.sqrt(variance)
    assert float(run(solver=DDIM(eta=0.3))[0, 0]) == pytest.approx(float(expected), rel=1e-5)


def test_ddim_on_a_straight_path_is_euler():
    path, x = CondOT(0.0), jnp.linspace(-2, 2, 5)[:, None]

    @jax.jit
    def run(x):
        times, steps = plan(path, build("euler"), 7, 7)
        step = functools.partial(sample, pair().denoiser(path), x, times, steps, path=path, kind="x_1")
        return [step(solver=build(name)) for name in ("ddim", "euler")]

    ddim, euler = run(x)
    np.testing.assert_allclose(ddim, euler, atol=1e-5)


def test_an_unknown_solver_lists_the_known_ones():
    with pytest.raises(ValueError, match="'rk4': expected one of ddpm, ddim"):
        build("rk4")
    assert build("ddim", eta=0.5) == DDIM(eta=0.5)


@pytest.mark.parametrize(("name", "second"), [("heun", 0.25), ("midpoint", 0.5)])
def test_where_the_second_evaluation_is(name, second):
    seen = []

    def network(x, t):
        jax.debug.callback(lambda t: seen.append(float(t[0])), t)
        return x

    sample(network, jnp.ones((1, 1)), jnp.array([0.75, 0.25]), 1, path=CondOT(), kind="velocity", solver=build(name))
    jax.effects_barrier()
    assert seen == [0.75, second]


def test_the_corrector_by_hand():
    """Two Langevin steps of 2 (0.3 sigma)^2 along the score of a network that says x_0 = 0, then the predictor."""
    t, s, x = 0.6, 0.5, jnp.array([[2.0]])

    @jax.jit
    def run(x):
        solver = build("predictor_corrector", corrections=2, ratio=0.3)
        step = functools.partial(sample, lambda x, t: 0 * x, x, jnp.array([t, s]), 1, path=VPSDE(), kind="x_0")
        return step(solver=solver, noise=lambda number: x * 0 + number), posterior(VPSDE(), jnp.array(t), jnp.array(s))

    found, (of_x, _, variance) = run(x)
    expected = 2.0
    sigma = float(VPSDE().sigma(jnp.array(t)))
    for z in (2, 3):  # draw 1 is the predictor's
        size = 2 * (0.3 * sigma) ** 2
        expected += -size * expected / sigma**2 + np.sqrt(2 * size) * z
    assert float(found[0, 0]) == pytest.approx(float(of_x) * expected + np.sqrt(float(variance)), rel=1e-4)
