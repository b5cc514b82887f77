import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from v2s_jax.models import ops1d


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def plain_transpose(x, kernel, stride, padding):
    reach = kernel.shape[0] - 1 - padding
    return lax.conv_general_dilated(
        x, kernel[::-1], (1,), [(reach, reach)], lhs_dilation=(stride,), dimension_numbers=("NWC", "WIO", "NWC")
    )


def with_gradients(ours, plain, x, kernel):
    """What both functions give, and their gradients, as one program: `(ours, theirs)` of each."""

    @jax.jit
    def run(x, kernel):
        (own, vjp), (expected, plain_vjp) = jax.vjp(ours, x, kernel), jax.vjp(plain, x, kernel)
        dy = normal(*expected.shape, seed=2)
        return (own, expected), *zip(vjp(dy), plain_vjp(dy), strict=True)

    return run(x, kernel)


@pytest.mark.parametrize(
    ("taps", "stride"), [(11, 5), (8, 4), (4, 2), (16, 8), (16, 2), (15, 5), (10, 5), (3, 1), (2, 2), (2, 3)]
)
def test_transposed_convolution_and_its_gradients_equal_the_plain_one(taps, stride):
    padding = max(taps - stride, 0) // 2
    x, kernel = normal(2, 6, 3), normal(taps, 3, 4, seed=1)
    (ours, plain), *gradients = with_gradients(
        lambda x, k: ops1d.conv_transpose1d(x, k, stride, padding),
        lambda x, k: plain_transpose(x, k, stride, padding),
        *(x, kernel),
    )
    assert ours.shape[1] == ops1d.transposed_length(6, taps, stride, padding)
    np.testing.assert_allclose(ours, plain, atol=2e-6)
    for own, expected in gradients:
        np.testing.assert_allclose(own, expected, atol=1e-5)


@given(st.integers(1, 7), st.integers(1, 12), st.integers(1, 6), st.integers(0, 4))
@settings(deadline=None, max_examples=25)
def test_transposed_convolution_adds_each_tap_where_it_belongs(steps, taps, stride, padding):
    length = ops1d.transposed_length(steps, taps, stride, padding)
    if length < 1:
        with pytest.raises(ValueError, match="no output"):
            ops1d.conv_transpose1d(jnp.ones((1, steps, 1)), jnp.ones((taps, 1, 1)), stride, padding)
        return
    x, kernel = np.arange(1.0, steps + 1), 10.0 ** np.arange(taps)[::-1]
    expected = np.zeros((steps - 1) * stride + taps)
    for step, value in enumerate(x):
        expected[step * stride : step * stride + taps] += value * kernel
    stretch = jax.jit(ops1d.conv_transpose1d, static_argnums=(2, 3))
    ours = stretch(np.float32(x)[None, :, None], np.float32(kernel)[:, None, None], stride, padding)
    np.testing.assert_allclose(ours[0, :, 0], expected[padding : padding + length], rtol=1e-6)


def test_transposed_convolution_by_hand():
    # Two inputs, stride 2, taps 1 10 100: 1 10 100 and, two steps later, 2 20 200.
    y = ops1d.conv_transpose1d(jnp.array([[[1.0], [2.0]]]), jnp.array([[[1.0]], [[10.0]], [[100.0]]]), 2)
    np.testing.assert_array_equal(y[0, :, 0], [1, 10, 102, 20, 200])


@pytest.mark.parametrize(
    ("stride", "dilation", "taps"), [(1, 1, 5), (2, 1, 5), (1, 3, 5), (1, 1, 32), (2, 1, 15), (3, 2, 9)]
)
def test_grouped_convolution_and_its_gradients_equal_the_plain_one(stride, dilation, taps):
    x, kernel = normal(2, 13, 6), normal(taps, 2, 9, seed=1)
    settings = dict(stride=stride, padding=taps // 2, dilation=dilation, groups=3)
    (ours, plain), *gradients = with_gradients(
        lambda x, k: ops1d.conv1d(x, k, **settings), lambda x, k: ops1d._plain(x, k, **settings), x, kernel
    )
    np.testing.assert_allclose(ours, plain, atol=1e-5)
    for own, expected in gradients:
        np.testing.assert_allclose(own, expected, atol=1e-4)


@pytest.mark.parametrize("taps", [4, 16])
def test_groups_may_have_kernels_of_their_own(taps):
    x, kernel = normal(2, 13, 6), normal(taps, 2, 9, seed=1)
    found = ops1d.conv1d_of_groups(x, jnp.split(kernel, 3, axis=-1), taps // 2)
    np.testing.assert_allclose(found, ops1d._plain(x, kernel, 1, taps // 2, 1, 3), atol=1e-5)


@pytest.mark.parametrize(("taps", "padding"), [(1, 0), (5, 2), (3, 0), (4, 3), (5, 6)])
def test_a_wide_and_short_convolution_and_its_gradients_equal_the_plain_one(taps, padding):
    x, kernel = normal(2, 4, 9), normal(taps, 9, 3, seed=1)
    (ours, plain), *gradients = with_gradients(
        lambda x, k: ops1d.conv1d(x, k, padding=padding), lambda x, k: ops1d._plain(x, k, 1, padding, 1, 1), x, kernel
    )
    np.testing.assert_array_equal(ours, plain)
    for own, expected in gradients:
        np.testing.assert_allclose(own, expected, atol=1e-4)


def test_convolution_by_hand():
    x = jnp.array([[[1.0], [2.0], [4.0], [8.0]]])
    y = ops1d.conv1d(x, jnp.array([[[1.0]], [[10.0]], [[100.0]]]), padding=2, dilation=2)
    np.testing.assert_array_equal(y[0, :, 0], [410, 820, 41, 82])


def test_average_pool_by_hand():
    np.testing.assert_array_equal(ops1d.average_pool1d(jnp.array([[4.0, 8, 12, 16]])), [[3, 10, 7]])
    np.testing.assert_array_equal(ops1d.average_pool1d(jnp.array([[4.0, 8, 12]])), [[3, 6]])
