from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.generative.mixture import pair
from v2s_jax.generative import grids
from v2s_jax.generative.flow_matching import CondOT, flow_matching_loss
from v2s_jax.generative.sampling import plan, sample
from v2s_jax.generative.solvers import build


def test_the_path_by_hand():
    found = CondOT(0.1).sample(jnp.array([[1.0, -1.0]]), jnp.array([[3.0, 0.0]]), jnp.array([0.25]))
    np.testing.assert_allclose(found.x_t, [[0.775 + 0.75, -0.775]], rtol=1e-6)  # 1 - 0.9 / 4
    np.testing.assert_allclose(found.dx_t, [[3 - 0.9, 0.9]], rtol=1e-6)
    x_0, x_1 = jnp.array([[1.0]]), jnp.array([[5.0]])
    np.testing.assert_array_equal(CondOT().sample(x_0, x_1, jnp.zeros(1)).x_t, x_0)
    np.testing.assert_allclose(CondOT(0.25).sample(x_0, x_1, jnp.ones(1)).x_t, x_1 + 0.25 * x_0)


@pytest.mark.parametrize("prediction", ["velocity", "x_1"])
def test_loss_by_hand(prediction):
    path, t = CondOT(0.1), jnp.array([0.25])
    x_0, x_1 = jnp.array([[[1.0], [-1.0]]]), jnp.array([[[3.0], [0.0]]])
    point = path.sample(x_0, x_1, t)
    right = point.dx_t if prediction == "velocity" else x_1

    def model(x_t, times):
        np.testing.assert_allclose(x_t, point.x_t)
        return right + jnp.array([[[0.5], [3.0]]])

    assert float(flow_matching_loss(model, path, x_0, x_1, t, prediction=prediction)) == pytest.approx(4.625)
    mask = jnp.array([[[True], [False]]])
    loss = flow_matching_loss(model, path, x_0, x_1, t, prediction=prediction, mask=mask)
    assert float(loss) == pytest.approx(0.25, rel=1e-5)
    loss = flow_matching_loss(model, path, x_0, x_1, t, prediction=prediction, norm="l1")
    assert float(loss) == pytest.approx(1.75, rel=1e-5)


def test_diffusion_s_names_are_refused():
    x = jnp.zeros((1, 1))
    with pytest.raises(ValueError, match="'eps': expected one of x_1, velocity"):
        flow_matching_loss(lambda x, t: x, CondOT(), x, x, jnp.zeros(1), prediction="eps")


@pytest.mark.parametrize("grid", [grids.uniform, grids.sway])
def test_a_mixture_is_sampled_from_a_velocity(grid):
    """Midpoint's 32 evaluations of the marginal velocity carry a normal's quantiles to the mixture's."""
    target, path, solver = pair(), CondOT(), build("midpoint")
    levels, normal = (np.arange(200) + 0.5) / 200, NormalDist()
    x_0 = jnp.array([[normal.inv_cdf(level)] for level in levels])

    @jax.jit
    def run(x_0):
        times, steps = plan(path, solver, 32, 32, grid)
        network = target.denoiser(path, "velocity")
        return sample(network, x_0, times, steps, path=path, kind="velocity", solver=solver)

    bumps = [NormalDist(mean, target.std) for mean in target.means[:, 0]]
    cdf = [target.shares @ [bump.cdf(x_1) for bump in bumps] for x_1 in np.asarray(run(x_0), np.float64)[:, 0]]
    np.testing.assert_allclose(cdf, levels, atol=0.03)  # in one dimension the flow keeps the order
