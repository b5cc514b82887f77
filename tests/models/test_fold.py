import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.models.test_hubert import PADDING, WAVE, call, encoder
from tests.small_vocoder import filled
from v2s_jax.models import avhubert, resnet
from v2s_jax.models.fold import fold
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.resnet import ResNetFrontend
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.transformer import TransformerEncoder


@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_batch_norms_go_into_the_kernels(activation):
    # With norms that have scales, shifts and statistics of their own.
    frontend = filled(lambda: ResNetFrontend((3, 4, 4, 6), activation, jnp.float32, Rngs(0)))
    rng = np.random.default_rng(0)
    module = evaluation_mode(frontend)
    folded = fold(module)
    video, mask = rng.standard_normal((2, 9, 24, 24), np.float32), np.arange(9)[None] < np.array([[9], [7]])
    before, after = (np.asarray(jax.jit(m.__call__)(video, mask)) for m in (module, folded))
    np.testing.assert_allclose(after[mask], before[mask], rtol=1e-5, atol=1e-5 * np.abs(before).max())
    kept = len(jax.tree.leaves(nnx.state(folded)))
    norms = 1 + 2 * 8 + 3  # the stem's, the blocks', those of the shortcuts
    assert len(jax.tree.leaves(nnx.state(module))) == kept + 3 * norms
    assert fold(folded) is folded


def test_wide_kernels_are_kept_as_a_matrix_for_each_tap(monkeypatch):
    monkeypatch.setattr(resnet, "WIDE", 4)
    module = evaluation_mode(filled(lambda: ResNetFrontend((2, 4, 5, 6), "relu", jnp.float32, Rngs(0))))
    folded = fold(module)
    video, mask = np.random.default_rng(0).standard_normal((1, 9, 56, 56), np.float32), np.ones((1, 9), bool)
    before, after = (np.asarray(jax.jit(m.__call__)(video, mask)) for m in (module, folded))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5 * np.abs(before).max())
    assert [hasattr(block.conv1, "taps") for block in folded.trunk] == [False] * 3 + [True, False, True, False, True]
    assert len(folded.trunk[7].conv2.taps) == 9 and not hasattr(folded.trunk[7].conv2, "kernel")


def test_convolutions_go_row_by_row():
    module = encoder("group")
    folded = fold(module)
    assert folded.folded and not module.folded
    loops = ["scan[" in str(jax.make_jaxpr(folded.__call__)(WAVE[:rows])) for rows in (1, 2)]
    assert loops == [False, True]
    for args in ((WAVE,), (WAVE, PADDING)):
        np.testing.assert_allclose(call(folded, *args), call(module, *args), atol=1e-5)
    np.testing.assert_allclose(
        call(folded, WAVE, PADDING, exact_padding=True), call(module, WAVE, PADDING, exact_padding=True), atol=1e-5
    )


def test_layers_get_arrays_of_their_own():
    config = avhubert.default_config("base").copy_and_resolve_references()
    config.update(layers=3, width=8, heads=2, hidden=16, conv_pos=16, conv_pos_groups=2)
    module = evaluation_mode(filled(lambda: TransformerEncoder(config, jnp.float32, Rngs(0))))
    folded = fold(module)
    x, mask = np.random.default_rng(0).standard_normal((2, 5, 8), np.float32), np.arange(5)[None] < np.array([[5], [3]])
    for layer in (None, 2):
        call = (jax.jit(m.__call__, static_argnums=2) for m in (module, folded))
        before, after = (np.asarray(run(x, mask, layer)) for run in call)
        np.testing.assert_allclose(after[mask], before[mask], atol=1e-5)
    assert [kernel.shape for kernel in folded.pos_conv.kernels] == [(16, 4, 4)] * 2
    assert len(folded.layers) == 3 and folded.layers[1].query.kernel.shape == (8, 8)
