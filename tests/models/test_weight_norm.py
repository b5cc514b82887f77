import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from v2s_jax.models.fold import fold
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.weight_norm import SpectralNormConv, WeightNormConv, WeightNormConvTranspose


def test_first_weights_are_pytorchs():
    conv = WeightNormConv(3, 12, 5, groups=2, rngs=Rngs(0))
    bound = (3 * 6) ** -0.5
    assert conv.weight_v.shape == (3, 6, 5) and 0.8 * bound < abs(conv.weight_v[...]).max() <= bound
    np.testing.assert_allclose(conv.kernel(), conv.weight_v[...], atol=1e-6)  # the gains are the norms


@pytest.mark.parametrize(("kind", "gains"), [(WeightNormConv, 2), (WeightNormConvTranspose, 3)])
def test_a_gain_scales_what_it_belongs_to(kind, gains):
    more = {"stride": 2, "padding": 1} if kind is WeightNormConvTranspose else {}
    conv = kind(4, 3, 2, rngs=Rngs(0), **more)
    assert conv.weight_g.shape == (gains,)
    before = conv.kernel()
    conv.weight_g[...] = conv.weight_g[...].at[1].multiply(3)
    axis = 1 if kind is WeightNormConvTranspose else 2
    ratio = jnp.moveaxis(conv.kernel() / before, axis, 0)
    np.testing.assert_allclose(ratio[1], 3, rtol=1e-5)
    np.testing.assert_allclose(ratio[0], 1, rtol=1e-5)


def test_by_hand():
    conv = WeightNormConv(1, 2, 1, rngs=Rngs(0))
    conv.weight_v[...] = jnp.array([[[3.0], [4.0]]])
    conv.weight_g[...], conv.bias[...] = jnp.array([10.0]), jnp.array([1.0])
    np.testing.assert_allclose(conv(jnp.array([[[1.0, 0.5]]])), [[[11.0]]], rtol=1e-6)  # 10 * (3 + 2) / 5 + 1


def test_folding_keeps_the_weights_and_leaves_the_original_alone():
    conv = WeightNormConv(3, 2, 2, rngs=Rngs(0))
    conv.weight_g[...] = jnp.array([2.0, 5.0])
    folded = fold(conv)
    np.testing.assert_allclose(folded.kernel(), conv.kernel(), rtol=1e-6)
    assert set(nnx.to_pure_dict(nnx.state(folded))) == {"weight_v", "bias"} and hasattr(conv, "weight_g")


def test_a_spectrally_normed_kernel_has_a_largest_singular_value_of_one():
    conv = SpectralNormConv(3, 4, 5, rngs=Rngs(0))
    for _ in range(60):
        conv.kernel()
    still = nnx.view(conv, use_running_average=True)
    matrix = np.asarray(still.kernel()).reshape(-1, 5)
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False)[0], 1, rtol=1e-4)
    np.testing.assert_array_equal(still.kernel(), still.kernel())
