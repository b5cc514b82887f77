import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.models import ops
from v2s_jax.training.chips import CHIPS, chip_of
from v2s_jax.training.flops import count_flops
from v2s_jax.training.utilisation import Utilisation

WEIGHTS, X = jnp.ones((12, 8, 8)), jnp.ones((4, 8))
PRODUCT = 2 * 4 * 8 * 8


def layers(weights, x):
    step = jax.checkpoint(lambda x, weight: (jnp.tanh(x @ weight), None))
    return jax.lax.scan(step, x, weights)[0].sum()


def test_a_loop_counts_as_often_as_it_runs():
    assert count_flops(layers, WEIGHTS, X) == 12 * PRODUCT
    # Once forward and once more for the backward pass, which has two products of its own.
    assert count_flops(jax.jit(jax.grad(layers)), WEIGHTS, X) == 4 * 12 * PRODUCT
    unknown = lambda x, n: jax.lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] @ WEIGHTS[0]), (0, x))  # noqa: E731
    assert count_flops(unknown, X, 3, trips=5) == 5 * PRODUCT


def test_a_convolution_counts_in_the_form_of_an_accelerator_and_what_is_dead_does_not():
    kernel, pictures = jnp.ones((3, 3, 4, 8)), jnp.ones((2, 8, 6, 4))

    def total(kernel):
        return ops.conv3x3(pictures, kernel).sum()

    plain = 2 * (2 * 8 * 6 * 8) * (3 * 3 * 4)
    assert count_flops(total, kernel) == plain
    assert count_flops(jax.grad(total), kernel) == plain  # of a sum only the weights' gradient is left
    transposed = lambda x, k: jax.lax.conv_general_dilated(x, k, (1,), [(1, 2)], (2,), None, ("NWC", "WIO", "NWC"))  # noqa: E731
    x, k = jnp.ones((1, 10, 3)), jnp.ones((4, 3, 5))
    assert count_flops(transposed, x, k) == 2 * 19 * 5 * 4 * 3 // 2  # half of what it reads are zeros between inputs


def test_chips_are_known_by_the_names_that_jax_gives_them():
    kinds = {"TPU v5 lite": "v5e", "TPU v5": "v5p", "TPU v6 lite": "v6e", "NVIDIA H100 80GB HBM3": "h100"}
    for kind, name in kinds.items():
        assert chip_of(kind) is CHIPS[name]
    assert chip_of("cpu") is None and chip_of("NVIDIA L40S") is None  # which is no L4


@pytest.mark.parametrize("known", [True, False])
def test_utilisation_is_flops_over_what_the_devices_could_do(known, monkeypatch):
    chip = CHIPS["h100"] if known else None
    monkeypatch.setattr("v2s_jax.training.utilisation.chip_of", lambda kind: chip)
    step = jax.jit(lambda state, batch: state @ jnp.mean(batch, keepdims=True).reshape(1, 1))
    utilisation = Utilisation(step)
    state = np.ones((1000, 1), np.float32)
    for rows in (3, 5, 3):
        utilisation.saw(state, np.ones(rows, np.float32))
    found = utilisation.report(steps_per_second=4.0)
    if known:
        assert found == {"tflops_per_step": pytest.approx(2e-9), "mfu": pytest.approx(8000 / CHIPS["h100"].flops)}
    else:
        assert found == {}
    assert utilisation.report(4.0) == {}  # no step since then
