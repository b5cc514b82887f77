import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.generative.flow_matching import CondOT
from v2s_jax.generative.process import VPSDE, Cosine, LinearBetas

PROCESSES = [VPSDE(), LinearBetas(), Cosine()]


def read(path, name, t):
    """A function of time, compiled as one: the tests would otherwise wait for each of its operations."""
    return np.asarray(jax.jit(getattr(path, name))(jnp.asarray(t, jnp.float32)))


def betas(process, steps):
    return np.asarray(jax.jit(process.betas, static_argnums=0)(steps))


def test_the_table_is_that_of_ho_et_al():
    table = np.linspace(1e-4, 0.02, 1000)
    np.testing.assert_allclose(betas(LinearBetas(), 1000), table, rtol=2e-3)  # of a float32 logarithm's differences
    alpha_bar = read(LinearBetas(), "alpha_bar", np.arange(1, 1001) / 1000)
    np.testing.assert_allclose(alpha_bar, np.cumprod(1 - table), rtol=1e-4)
    assert float(alpha_bar[-1]) == pytest.approx(4.036e-5, rel=1e-3)


@pytest.mark.parametrize("steps", [100, 1000])
def test_the_table_is_the_vp_sde_discretised(steps):
    """Song et al. 2021, appendix B: beta_i = beta(i / T) / T; the two processes part ways as 1 / T."""
    table = LinearBetas(steps, 0.1 / steps, 20 / steps)
    t = np.arange(1, steps + 1) / steps
    # Within a step beta(t) rises by 19.9 / T.
    limit = read(VPSDE(), "beta", t)
    np.testing.assert_allclose(steps * betas(table, steps), limit, atol=19.9 / steps, rtol=2e-3)
    apart = np.abs(read(table, "alpha", t) - read(VPSDE(), "alpha", t)).max()
    assert 0.1 / steps < apart < 1.2 / steps


def test_cosine_is_nichol_and_dhariwals():
    t = np.linspace(0, 1, 1001)
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    published = np.minimum(1 - f[1:] / f[:-1], 0.999)
    alpha_bar = read(Cosine(), "alpha_bar", t[1:])
    np.testing.assert_allclose(alpha_bar, np.cumprod(1 - published), atol=1e-4)
    assert alpha_bar[-1] == pytest.approx(np.prod(1 - published), rel=0.03)
    np.testing.assert_allclose(betas(Cosine(), 1000)[:990], published[:990], rtol=5e-3, atol=2e-6)


def test_vp_sde_by_hand():
    exponent = 0.1 * 0.5 + 0.5 * 19.9 * 0.25
    assert read(VPSDE(), "alpha_bar", 0.5) == pytest.approx(math.exp(-exponent), rel=1e-5)
    assert read(VPSDE(), "beta", 0.5) == pytest.approx(10.05, rel=1e-5)
    assert read(VPSDE(), "log_snr", 0.5) == pytest.approx(-math.log(math.exp(exponent) - 1), rel=1e-5)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_variance_is_preserved_and_noise_only_grows(process):
    alpha, sigma, log_snr = (read(process, name, np.linspace(0, 1, 257)) for name in ("alpha", "sigma", "log_snr"))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, atol=1e-6)
    assert (np.diff(log_snr) < 0).all() and log_snr[0] == math.inf
    assert alpha[0] == 1 and sigma[0] == 0 and alpha[-1] < 0.01


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_small_noise_keeps_its_digits(process):
    """1 - alpha_bar in float64, from the definition; in float32 the plain difference would be mostly rounding."""
    t = 1e-4
    match process:
        case VPSDE():
            expected = -math.expm1(-(0.1 * t + 0.5 * 19.9 * t**2))
        case LinearBetas():
            expected = -math.expm1(0.1 * math.log1p(-1e-4))
        case _:
            angle = [(s + 0.008) / 1.008 * math.pi / 2 for s in (0, t)]
            expected = 1 - (math.cos(angle[1]) / math.cos(angle[0])) ** 2
    assert read(process, "sigma", t) ** 2 == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("path", [*PROCESSES, CondOT(), CondOT(0.0)], ids=lambda p: type(p).__name__)
def test_time_inverts_log_snr(path):
    t = np.linspace(0.002, 0.998, 99)
    np.testing.assert_allclose(read(path, "time", read(path, "log_snr", t)), t, atol=2e-5)


@pytest.mark.parametrize("path", [*PROCESSES, CondOT(0.1)], ids=lambda p: type(p).__name__)
def test_rates_are_derivatives(path):
    t = np.array([0.1005, 0.5005, 0.9005])  # in the middle of the table's intervals
    for name, rate in zip(("alpha", "sigma"), read(path, "rates", t), strict=True):
        after, before = (np.float64(read(path, name, t + step)) for step in (4e-4, -4e-4))
        np.testing.assert_allclose(rate, (after - before) / 8e-4, rtol=2e-2, atol=1e-3)


def test_equal_processes_are_one_static_argument():
    traced = []
    alpha = jax.jit(lambda path, t: traced.append(path) or path.alpha(t), static_argnums=0)
    for process in (LinearBetas(), LinearBetas(), LinearBetas(steps=10)):
        alpha(process, jnp.array(0.5))
    assert traced == [LinearBetas(), LinearBetas(steps=10)]
