import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.models.remat import KEEP_ALL, KEEP_NOTHING
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.transformer import PositionalConv, TransformerEncoder

SMALL = dict(
    layers=3,
    width=16,
    heads=4,
    hidden=32,
    conv_pos=4,
    conv_pos_groups=2,
    norm_first=True,
    dropout=0.1,
    attention_dropout=0.1,
    activation_dropout=0.1,
    layerdrop=0.0,
    scan=True,
    remat=KEEP_ALL,
)
X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 16)), jnp.float32)
MASK = jnp.arange(7)[None] < jnp.array([[7], [4]])


def encoder(training=False, dtype=jnp.float32, **changes):
    model = TransformerEncoder(ConfigDict(SMALL | changes), dtype, Rngs(0))
    return model if training else nnx.view(model, deterministic=True)


def test_positional_conv_by_hand():
    conv = PositionalConv(2, 4, 2, jnp.float32, Rngs(0))
    conv.weight_v[...] = jnp.zeros((4, 1, 2)).at[0].set(jnp.array([[3.0, 4.0]]))  # the tap two frames back
    conv.weight_v[...] += jnp.zeros((4, 1, 2)).at[1:].set(1e-9)  # no norm may be zero
    conv.weight_g[...], conv.bias[...] = jnp.array([10.0, 0.0, 0.0, 0.0]), jnp.zeros(2)
    x = jnp.array([[[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]])
    # 10 * (3, 4) / 5 = (6, 8) times the frame two steps before; the gelu of 6 is 6 to 1e-8.
    np.testing.assert_allclose(conv(x)[0], [[0, 0], [0, 0], [6, 0]], atol=1e-6)


def test_positional_conv_keeps_the_length_for_odd_kernels_too():
    assert PositionalConv(4, 3, 2, jnp.float32, Rngs(0))(jnp.ones((1, 5, 4))).shape == (1, 5, 4)


def jitted(method):
    """A bound method as one program, its rngs given as a key."""
    return jax.jit(lambda x, mask, key=None: method(x, mask, rngs=None if key is None else Rngs(dropout=key)))


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_padded_clip_is_encoded_as_the_clip_alone(norm_first):
    model = encoder(norm_first=norm_first)
    padded = jitted(model)(X.at[1, 4:].set(jnp.nan), MASK)
    alone = jitted(model)(X[1:, :4], MASK[1:, :4])
    np.testing.assert_allclose(padded[1, :4], alone[0], atol=1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
def test_states_are_what_the_layers_give(norm_first):
    model = encoder(norm_first=norm_first)
    states = model.states(X, MASK)
    assert states.shape == (4, 2, 7, 16)
    np.testing.assert_allclose(states[0], model.embed(X, MASK), atol=1e-6)
    for layer in (1, 2, 3):
        np.testing.assert_allclose(model(X, MASK, layer=layer), states[layer], atol=1e-6)
    last = model.norm(states[3]) if norm_first else states[3]
    np.testing.assert_allclose(model(X, MASK), last, atol=1e-6)
    assert abs(states[1] - states[2]).max() > 1e-2


def gradient(**changes):
    graphdef, state = nnx.split(encoder(True, layers=2, **changes))

    def loss(state):
        return jnp.sum(nnx.merge(graphdef, state)(X, MASK, rngs=Rngs(dropout=1)) ** 2)

    return jax.jit(jax.value_and_grad(loss))(nnx.to_pure_dict(state))


plain_gradient = functools.cache(gradient)


@pytest.mark.parametrize("changes", [dict(scan=False), dict(remat=KEEP_NOTHING), dict(scan=False, remat=KEEP_NOTHING)])
def test_a_loop_over_layers_and_remat_change_neither_output_nor_gradient(changes):
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(compare, plain_gradient(), gradient(**changes))


def test_layers_start_differently():
    kernel = encoder().layers.query.kernel[...]
    assert kernel.shape == (3, 16, 16)
    assert abs(kernel[0] - kernel[1]).max() > 1e-3


def test_layerdrop_drops_whole_layers_in_training_alone():
    rates = dict(dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, layerdrop=0.5)
    model, still = encoder(True, **rates), encoder(**rates)
    keys = jax.random.split(jax.random.key(0), 20)
    full = jitted(still.states)(X, MASK)
    np.testing.assert_allclose(jitted(still.states)(X, MASK, keys[0]), full, atol=1e-6)
    run = jitted(model.states)
    draws = np.asarray([run(X, MASK, key) for key in keys])
    kept = abs(draws[:, 1:] - draws[:, :-1]).max((2, 3, 4)) > 0
    assert 15 < kept.sum() < 45
    for own, first in zip(draws, kept[:, 0], strict=True):
        np.testing.assert_allclose(own[1], full[1] if first else full[0], atol=1e-6)


def test_dropout_differs_between_keys():
    run = jitted(encoder(True, layers=1).__call__)
    a, b = run(X, MASK, jax.random.key(0)), run(X, MASK, jax.random.key(1))
    assert abs(a - b).max() > 1e-2
    np.testing.assert_array_equal(a, run(X, MASK, jax.random.key(0)))


def test_another_stream_reads_keys_and_values_under_the_mask():
    model = encoder()
    layer = jax.tree.map(lambda leaf: leaf[0], model.layers)
    keys, values = layer.keys_values(X)
    only_first = jnp.arange(7)[None] < jnp.ones((2, 1), int)
    prompt = jnp.ones((2, 1, 16))
    read = layer.attend(prompt, keys, values, only_first)
    value = values[:, :1].reshape(2, 1, 16)
    np.testing.assert_allclose(read, prompt + layer.out(value), atol=1e-6)
    x = layer.feed_forward(layer.attend(X, keys, values, MASK))
    np.testing.assert_array_equal(x, layer(X, MASK))


def test_bfloat16_is_for_the_computation_alone():
    model = encoder(dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype("float32")}
    found = model(X, MASK)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), encoder()(X, MASK), atol=0.1)


def test_impossible_layers_and_sizes_are_refused():
    with pytest.raises(ValueError, match="layer is 4, expected 1 to 3"):
        encoder()(X, MASK, layer=4)
    with pytest.raises(ValueError, match="multiple"):
        encoder(heads=5)
