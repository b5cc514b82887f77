import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from tests.models.test_ops1d import normal, with_gradients
from v2s_jax.models import ops


def plain_conv(x, kernel, stride):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 6, 11])
def test_conv3x3_and_both_gradients_equal_the_plain_convolution(stride, size):
    x, kernel = normal(4, size, size, 5), normal(3, 3, 5, 7, seed=1)
    (ours, plain), *gradients = with_gradients(
        lambda x, k: ops.conv3x3(x, k, stride), lambda x, k: plain_conv(x, k, stride), x, kernel
    )
    np.testing.assert_allclose(ours, plain, atol=1e-5)
    for own, expected in gradients:
        np.testing.assert_allclose(own, expected, atol=1e-4)


def test_conv3x3_counts_neighbours():
    ones = ops.conv3x3(jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1)))
    np.testing.assert_array_equal(ones[0, :, :, 0], [[4, 6, 4], [6, 9, 6], [4, 6, 4]])


def test_weight_gradients_for_the_cpu_and_for_other_platforms_agree():
    x, dy = normal(3, 8, 8, 4), normal(3, 4, 4, 6, seed=1)
    cpu = ops._weight_gradient_by_columns(x, dy, 3, 2, chunk=3)
    np.testing.assert_allclose(cpu, ops._weight_gradient_plain(x, dy, 2), atol=1e-4)


def test_stem_equals_the_3d_convolution_and_its_weight_gradient():
    video, kernel = normal(2, 6, 12, 12), normal(5, 7, 7, 1, 3, seed=1)

    def plain(video, kernel):
        return lax.conv_general_dilated(
            video[..., None], kernel, (1, 2, 2), [(2, 2), (3, 3), (3, 3)], dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
        )

    (ours, expected), _, (gradient, plain_gradient) = with_gradients(ops.stem_conv3d, plain, video, kernel)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    np.testing.assert_allclose(gradient, plain_gradient, atol=1e-3)
    dy = normal(*expected.shape, seed=2)
    elsewhere = jax.jit(lambda: ops._stem_weight_gradient_plain(video, dy, kernel.shape, 2))()
    np.testing.assert_allclose(elsewhere, plain_gradient, atol=1e-3)


def test_max_pool_equals_flax_and_sends_the_gradient_to_the_maximum():
    x = normal(2, 8, 6, 3)

    def flax_pool(x):
        return nnx.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))

    (ours, expected), (gradient, flax_gradient), _ = with_gradients(
        lambda x, _: ops.max_pool3x3(x), lambda x, _: flax_pool(x), x, jnp.zeros(1)
    )
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_allclose(gradient, flax_gradient, atol=1e-6)


def test_depthwise_forms_agree_with_their_gradients():
    x, kernel = normal(2, 9, 4), normal(5, 4, seed=1)
    (shifts, plain), *gradients = with_gradients(ops._depthwise_by_shifts, ops._depthwise_plain, x, kernel)
    np.testing.assert_allclose(shifts, plain, atol=1e-5)
    for own, expected in gradients:
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-4)


def test_depthwise_by_hand():
    x = jnp.array([[[1.0], [2.0], [4.0]]])
    y = ops.depthwise_conv1d(x, jnp.array([[1.0], [10.0], [100.0]]))
    np.testing.assert_array_equal(y[0, :, 0], [210, 421, 42])
