import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.small_vocoder import filled
from v2s_jax.errors import V2SError
from v2s_jax.models.hubert import HuBERT, TimeNorm, count_frames, default_config, normalise_waveform
from v2s_jax.models.rngs import Rngs

SMALL = dict(convs=((4, 10, 5), (4, 3, 2), (4, 2, 2)), layers=2, width=16, hidden=32, heads=4, conv_pos=4)
WAVE = jnp.asarray(np.random.default_rng(0).normal(size=(2, 400)), jnp.float32)
PADDING = jnp.arange(400)[None] >= jnp.array([[400], [303]])


@functools.partial(jax.jit, static_argnums=(0, 1, 4, 5))
def _call(graphdef, states, state, args, layer, exact_padding):
    module = nnx.merge(graphdef, state)
    return module.states(*args) if states else module(*args, layer=layer, exact_padding=exact_padding)


def call(model, *args, layer=None, exact_padding=False, states=False):
    graphdef, state = nnx.split(model)
    return _call(graphdef, states, nnx.to_pure_dict(state), args, layer, exact_padding)


@functools.cache
def encoder(norm="group", dtype=jnp.float32):
    large = norm == "layer"
    own = dict(conv_pos_groups=2, conv_norm=norm, conv_bias=large, norm_first=large)
    config = ConfigDict(default_config().to_dict() | SMALL | own)
    model = filled(lambda: HuBERT(config, rngs=Rngs(0), dtype=dtype))
    return nnx.view(model, deterministic=True)


def test_frames_are_20_ms_and_lie_wholly_inside():
    assert [count_frames(n) for n in (399, 400, 719, 720, 16_000, 0)] == [0, 1, 1, 2, 49, 0]
    np.testing.assert_array_equal(count_frames(jnp.array([399, 16_000])), [0, 49])


def test_normalised_waveforms_by_hand():
    found = normalise_waveform(jnp.array([[1.0, 3.0, 9.0, 9.0]]), jnp.array([[False, False, True, True]]), 0.0)
    np.testing.assert_allclose(found, [[-1, 1, 0, 0]])


def test_time_norm_by_hand():
    x = jnp.array([[[1.0], [3.0], [8.0]]])
    np.testing.assert_allclose(TimeNorm(1)(x, jnp.array([[True, True, False]]))[0, :2, 0], [-1, 1], atol=1e-5)
    np.testing.assert_allclose(TimeNorm(1)(x, None)[0, :, 0], np.array([-3, -1, 4]) / np.sqrt(26 / 3), atol=1e-5)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_padded_clip_is_encoded_as_the_clip_alone(norm):
    model = encoder(norm)
    wave = jnp.where(PADDING, 0, WAVE)
    alone = call(model, WAVE[1:, :303])
    frames = alone.shape[1]
    np.testing.assert_array_equal((~model.frame_padding(PADDING)).sum(1), [count_frames(400, SMALL["convs"]), frames])
    padded = call(model, wave, PADDING, exact_padding=True)
    np.testing.assert_allclose(padded[1, :frames], alone[0], atol=1e-5)
    as_published = call(model, wave, PADDING)
    if norm == "group":  # whose norm looks at the padding, in the published code and so by default
        assert abs(as_published[1, :frames] - alone[0]).max() > 1e-2
    else:
        np.testing.assert_allclose(as_published[1, :frames], alone[0], atol=1e-5)


def test_a_row_of_padding_alone_gives_numbers():
    found = call(encoder(), WAVE, jnp.ones((2, 400), bool), exact_padding=True)
    assert jnp.isfinite(found).all()


def test_states_are_those_of_the_layers():
    model = encoder("layer")
    states = call(model, WAVE, PADDING, states=True)
    np.testing.assert_allclose(call(model, WAVE, PADDING, layer=2), states[2], atol=1e-5)
    assert abs(call(model, WAVE, PADDING) - states[2]).max() > 1e-2  # normalised


def test_a_waveform_too_short_for_a_frame_is_refused():
    with pytest.raises(V2SError, match="9 samples is too short"):
        encoder()(WAVE[:, :9])


def test_sizes_are_those_of_the_paper():
    def count(size):
        abstract = nnx.eval_shape(lambda: HuBERT(default_config(size), rngs=Rngs(0)))
        return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(abstract, nnx.Param)))

    # Of `transformers`' HubertModel without its masked_spec_embed.
    assert count("base") == 94_370_944
    assert count("large") == 315_437_696


def test_bfloat16_stays_near():
    found = call(encoder(dtype=jnp.bfloat16), WAVE)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), call(encoder(), WAVE), atol=0.2)
