import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.generative.losses import WEIGHTINGS, denoising_loss, masked_error, weights
from v2s_jax.generative.predictions import Estimate, from_estimate
from v2s_jax.generative.process import VPSDE

PROCESS = VPSDE()


def test_errors_by_hand():
    prediction, target = jnp.array([[[1.0, 2.0], [9.0, 9.0]]]), jnp.array([[[0.0, 4.0], [0.0, 0.0]]])
    assert float(masked_error(prediction, target, "l1")) == pytest.approx((1 + 2 + 9 + 9) / 4)
    assert float(masked_error(prediction, target, "l2")) == pytest.approx((1 + 4 + 81 + 81) / 4)
    mask = jnp.array([[[True], [False]]])
    assert float(masked_error(prediction, target, "l1", mask)) == pytest.approx(1.5)
    assert float(masked_error(prediction, target, "l2", mask)) == pytest.approx(2.5)
    assert float(masked_error(prediction, target, "l2", ~mask & mask)) == 0
    with pytest.raises(ValueError, match="'l3': expected l1 or l2"):
        masked_error(prediction, target, "l3")


def test_rows_are_weighted_but_share_one_mean():
    prediction, target = jnp.array([[1.0, 1.0], [2.0, 5.0]]), jnp.zeros((2, 2))
    mask = jnp.array([[True, True], [True, False]])
    found = masked_error(prediction, target, "l1", mask, jnp.array([1.0, 10.0]))
    assert float(found) == pytest.approx((1 + 1 + 10 * 2) / 3)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_padding_has_no_say_whatever_it_holds(norm):
    mask = jnp.array([[[True], [False]]])

    def loss(prediction):
        return masked_error(prediction, jnp.zeros((1, 2, 1)), norm, mask)

    for rubbish in (7.0, jnp.inf, jnp.nan):
        value, gradient = jax.value_and_grad(loss)(jnp.array([[[0.5], [rubbish]]]))
        assert float(value) == (0.5 if norm == "l1" else 0.25)
        np.testing.assert_array_equal(gradient[0, :, 0], [1, 0])


def test_half_precision_errors_are_summed_in_float32():
    prediction = jnp.full((1, 4096), 1.0, jnp.bfloat16)
    loss = masked_error(prediction, jnp.full((1, 4096), 0.9), "l1")
    assert loss.dtype == jnp.float32 and float(loss) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("kind", PROCESS.kinds)
def test_the_network_is_asked_for_its_kind_at_x_t(kind):
    x_0, eps, t = jnp.array([[1.0], [-2.0]]), jnp.array([[0.5], [0.3]]), jnp.array([0.2, 0.8])
    right = from_estimate(PROCESS, kind, Estimate(x_0, eps), t)

    def network(x_t, times):
        np.testing.assert_allclose(x_t, PROCESS.perturb(x_0, eps, t))
        np.testing.assert_array_equal(times, t)
        return right + 0.5

    assert float(denoising_loss(network, PROCESS, x_0, eps, t, kind=kind)) == pytest.approx(0.25, rel=1e-5)
    assert float(denoising_loss(network, PROCESS, x_0, eps, t, kind=kind, norm="l1")) == pytest.approx(0.5, rel=1e-5)


def test_weights_are_those_of_the_papers():
    t = jnp.array([0.05, 0.3, 0.9])
    snr = np.exp(np.asarray(PROCESS.log_snr(t), np.float64))
    assert snr[0] > 5 > snr[1] > snr[2]
    published = {  # of x_0, eps and v: Hang et al. 2023, Salimans and Ho 2022, Choi et al. 2022
        "none": (snr * 0 + 1, snr * 0 + 1, snr * 0 + 1),
        "snr": (snr, snr * 0 + 1, snr / (snr + 1)),
        "truncated_snr": (np.maximum(snr, 1), np.maximum(1, 1 / snr), np.maximum(snr, 1) / (snr + 1)),
        "min_snr": (np.minimum(snr, 5), np.minimum(snr, 5) / snr, np.minimum(snr, 5) / (snr + 1)),
        "p2": (snr / (1 + snr), 1 / (1 + snr), snr / (1 + snr) ** 2),
    }
    assert set(published) == set(WEIGHTINGS)
    for weighting, expected in published.items():
        for kind, values in zip(("x_0", "eps", "v"), expected, strict=True):
            np.testing.assert_allclose(weights(PROCESS, kind, weighting, t), values, rtol=1e-4, err_msg=weighting)
    with pytest.raises(ValueError, match="'sqrt': expected one of none, snr"):
        weights(PROCESS, "eps", "sqrt", t)


@pytest.mark.parametrize("kind", PROCESS.kinds[1:])
def test_a_weighted_loss_is_the_same_whatever_is_predicted(kind):
    """The same wrong estimate of x_0, said in two ways."""
    rng = np.random.default_rng(0)
    x_0, eps, wrong = (jnp.asarray(rng.standard_normal((3, 4)), jnp.float32) for _ in range(3))
    t = jnp.array([0.1, 0.4, 0.8])

    def network(said):
        def predict(x_t, t):
            sigma, alpha = PROCESS.sigma(t)[:, None], PROCESS.alpha(t)[:, None]
            return from_estimate(PROCESS, said, Estimate(wrong, (x_t - alpha * wrong) / sigma), t)

        return predict

    losses = [
        denoising_loss(network(said), PROCESS, x_0, eps, t, kind=said, weighting="min_snr") for said in ("x_0", kind)
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-3)
