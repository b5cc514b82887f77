import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.generative.flow_matching import CondOT
from v2s_jax.generative.process import VPSDE, Cosine, LinearBetas

PROCESSES = [VPSDE(), LinearBetas(), Cosine()]


def test_the_table_is_that_of_ho_et_al():
    betas = np.linspace(1e-4, 0.02, 1000)
    process = LinearBetas()
    np.testing.assert_allclose(process.betas(1000), betas, rtol=2e-3)  # of a float32 logarithm's differences
    alpha_bar = process.alpha_bar(jnp.arange(1, 1001) / 1000)
    np.testing.assert_allclose(alpha_bar, np.cumprod(1 - betas), rtol=1e-4)
    assert float(alpha_bar[-1]) == pytest.approx(4.036e-5, rel=1e-3)


@pytest.mark.parametrize("steps", [100, 1000])
def test_the_table_is_the_vp_sde_discretised(steps):
    """Song et al. 2021, appendix B: beta_i = beta(i / T) / T; the two processes part ways as 1 / T."""
    table = LinearBetas(steps, 0.1 / steps, 20 / steps)
    t = jnp.arange(1, steps + 1) / steps
    # Within a step beta(t) rises by 19.9 / T.
    np.testing.assert_allclose(steps * table.betas(steps), VPSDE().beta(t), atol=1.5 * 20 * 20 / steps, rtol=2e-3)
    apart = jnp.abs(table.alpha(t) - VPSDE().alpha(t)).max()
    assert 0.1 / steps < float(apart) < 1.2 / steps


def test_cosine_is_nichol_and_dhariwals():
    t = np.linspace(0, 1, 1001)
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - f[1:] / f[:-1], 0.999)
    process = Cosine()
    np.testing.assert_allclose(process.alpha_bar(jnp.asarray(t[1:])), np.cumprod(1 - betas), atol=1e-4)
    assert float(process.alpha_bar(jnp.array(1.0))) == pytest.approx(np.prod(1 - betas), rel=0.03)
    np.testing.assert_allclose(process.betas(1000)[:990], betas[:990], rtol=5e-3, atol=2e-6)


def test_vp_sde_by_hand():
    t = jnp.array(0.5)
    exponent = 0.1 * 0.5 + 0.5 * 19.9 * 0.25
    assert float(VPSDE().alpha_bar(t)) == pytest.approx(math.exp(-exponent), rel=1e-5)
    assert float(VPSDE().beta(t)) == pytest.approx(10.05, rel=1e-5)
    assert float(VPSDE().log_snr(t)) == pytest.approx(-math.log(math.exp(exponent) - 1), rel=1e-5)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_variance_is_preserved_and_noise_only_grows(process):
    t = jnp.linspace(0, 1, 257)
    alpha, sigma = process.alpha(t), process.sigma(t)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, atol=1e-6)
    assert (jnp.diff(process.log_snr(t)) < 0).all()
    assert float(alpha[0]) == 1 and float(sigma[0]) == 0 and float(alpha[-1]) < 0.01
    assert float(process.log_snr(t)[0]) == math.inf


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
    assert float(process.sigma(jnp.array(t))) ** 2 == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("path", [*PROCESSES, CondOT(), CondOT(0.0)], ids=lambda p: type(p).__name__)
def test_time_inverts_log_snr(path):
    t = jnp.linspace(0.002, 0.998, 99)
    np.testing.assert_allclose(path.time(path.log_snr(t)), t, atol=2e-5)


@pytest.mark.parametrize("path", [*PROCESSES, CondOT(0.1)], ids=lambda p: type(p).__name__)
def test_rates_are_derivatives(path):
    t = jnp.array([0.1003, 0.5004, 0.9005])  # within the table's intervals
    for value, rate in zip((path.alpha, path.sigma), path.rates(t), strict=True):
        numeric = (np.float64(value(t + 4e-4)) - np.float64(value(t - 4e-4))) / 8e-4
        np.testing.assert_allclose(rate, numeric, rtol=2e-2, atol=1e-3)


def test_equal_processes_are_one_static_argument():
    traced = []
    alpha = jax.jit(lambda path, t: traced.append(path) or path.alpha(t), static_argnums=0)
    for process in (LinearBetas(), LinearBetas(), LinearBetas(steps=10)):
        alpha(process, jnp.array(0.5))
    assert traced == [LinearBetas(), LinearBetas(steps=10)]
