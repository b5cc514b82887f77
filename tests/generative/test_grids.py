import jax
import numpy as np
import pytest

from v2s_jax.generative.flow_matching import CondOT
from v2s_jax.generative.grids import GRIDS, karras, log_snr, quadratic, shifted, sway, uniform
from v2s_jax.generative.process import VPSDE, Cosine

FLOW = CondOT()


@pytest.fixture(scope="module")
def made():
    """Every grid on every path with 1, 2 and 6 steps of 9, made with a traced count."""
    paths = {"vp": VPSDE(), "cosine": Cosine(), "flow": FLOW, "clean flow": CondOT(0.0)}

    @jax.jit
    def make(steps):
        return {(name, path): grid(paths[path], steps, 9) for name, grid in GRIDS.items() for path in paths}

    return paths, {steps: make(steps) for steps in (1, 2, 6)}


@pytest.mark.parametrize("name", GRIDS)
def test_grids_run_from_noise_to_data_and_wait_there(made, name):
    paths, grids = made
    for steps, times in grids.items():
        for label, path in paths.items():
            t = np.asarray(times[name, label])
            assert t.shape == (10,) and t[0] == path.noise_time, (label, steps)
            assert (t[steps:] == path.data_time).all(), (label, steps)
            assert (np.diff(t[: steps + 1]) * (path.data_time - path.noise_time) > 0).all(), (label, steps)


def test_grids_by_hand():
    np.testing.assert_allclose(uniform(VPSDE(), 4, 4), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(uniform(FLOW, 4, 4), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(quadratic(VPSDE(), 4, 4), [1, 0.5625, 0.25, 0.0625, 0])
    np.testing.assert_allclose(sway(FLOW, 3, 3), 1 - np.cos(np.pi / 6 * np.arange(4)), atol=1e-6)
    np.testing.assert_allclose(sway(FLOW, 3, 3, coefficient=0.0), uniform(FLOW, 3, 3), atol=1e-6)
    assert float(sway(FLOW, 3, 3, coefficient=1.75)[3]) == 1
    np.testing.assert_allclose(shifted(FLOW, 2, 2, shift=3.0), [0, 0.25, 1], atol=1e-6)  # 3 * .5 / (1 + 2 * .5) left
    np.testing.assert_allclose(shifted(VPSDE(), 2, 2, shift=3.0), [1, 0.75, 0], atol=1e-6)


def test_log_snr_is_in_equal_steps_up_to_the_margin():
    for path in (VPSDE(), Cosine()):
        t = jax.jit(lambda path=path: log_snr(path, 8, 8, margin=0.01))()
        assert float(t[7]) == pytest.approx(0.01, abs=1e-5)
        steps = np.diff(jax.jit(path.log_snr)(t[:8]))
        np.testing.assert_allclose(steps, steps.mean(), rtol=2e-3)


def test_karras_is_in_equal_steps_of_a_root():
    process = VPSDE()
    for rho in (7.0, 3.0):
        t = jax.jit(lambda rho=rho: karras(process, 6, 6, rho))()
        roots = np.exp(-np.asarray(jax.jit(process.log_snr)(t[:6])) / (2 * rho))
        np.testing.assert_allclose(np.diff(roots), np.diff(roots).mean(), rtol=5e-3)
        assert float(t[5]) == pytest.approx(1e-3, abs=1e-5)
