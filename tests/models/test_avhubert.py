import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, traverse_util
from ml_collections import ConfigDict

from tests.compiled import run, run_as_users
from tests.small_vocoder import filled
from v2s_jax.errors import V2SError
from v2s_jax.models.avhubert import AVHuBERT, _scale_gradient, default_config
from v2s_jax.models.masking import masked_prediction_loss
from v2s_jax.models.rngs import Rngs

SMALL = dict(
    resnet=(3, 5), layers=2, width=16, hidden=32, heads=4, conv_pos=4, conv_pos_groups=2, audio_dim=6,
    num_classes=7, final_proj=True, final_dim=8,
)  # fmt: skip
RNG = np.random.default_rng(0)
VIDEO = jnp.asarray(RNG.normal(size=(2, 9, 16, 16, 1)), jnp.float32)
AUDIO = jnp.asarray(RNG.normal(size=(2, 9, 6)), jnp.float32)
PADDING = jnp.arange(9)[None] >= jnp.array([[9], [5]])


@functools.cache
def encoder(training=False, dtype=jnp.float32, **changes):
    config = ConfigDict(default_config().to_dict() | SMALL | changes)
    model = filled(lambda: AVHuBERT(config, rngs=Rngs(0), dtype=dtype))
    return model if training else nnx.view(model, deterministic=True, use_running_average=True)


@pytest.mark.parametrize("fusion", ["concat", "add"])
def test_a_padded_clip_is_encoded_as_the_clip_alone(fusion):
    model = encoder(fusion=fusion)
    spoilt = VIDEO.at[1, 5:].set(1e3)
    padded = run(model, video=spoilt, audio=AUDIO, padding_mask=PADDING)
    alone = run(model, video=VIDEO[1:, :5], audio=AUDIO[1:, :5])
    np.testing.assert_allclose(padded[1, :5], alone[0], atol=1e-5)


def test_a_missing_modality_is_zero_after_its_projection():
    model = nnx.clone(encoder())
    model.audio_proj.bias[...] = jnp.ones(16)  # with which silence is not zero
    silent = run(model, video=VIDEO)
    assert abs(silent - run(model, video=VIDEO, audio=jnp.zeros_like(AUDIO))).max() > 1e-3
    model.audio_proj.kernel[...], model.audio_proj.bias[...] = jnp.zeros((6, 16)), jnp.zeros(16)
    np.testing.assert_allclose(silent, run(model, video=VIDEO, audio=AUDIO), atol=1e-6)


def test_video_may_come_without_its_last_axis():
    np.testing.assert_array_equal(*(run_as_users(encoder(), video=video) for video in (VIDEO, VIDEO[..., 0])))


def test_states_are_those_of_the_layers():
    states = run(encoder(), method="states", video=VIDEO, padding_mask=PADDING)
    assert states.shape == (3, 2, 9, 16)
    stopped = jax.jit(functools.partial(encoder().__call__, layer=1))(video=VIDEO, padding_mask=PADDING)
    np.testing.assert_allclose(stopped, states[1], atol=1e-5)


def test_inputs_that_do_not_fit_are_refused_in_a_sentence():
    with pytest.raises(V2SError, match="nothing to encode"):
        encoder()(padding_mask=PADDING)
    with pytest.raises(V2SError, match=r"\(2, 9\), \(2, 8\)"):
        encoder()._mask(VIDEO, AUDIO[:, :8], None)  # in tests the call itself refuses such shapes before
    with pytest.raises(V2SError, match="num_classes"):
        encoder(num_classes=0).predict(VIDEO, AUDIO, PADDING, Rngs(0))


TARGETS = jnp.arange(18).reshape(2, 9) % 7


def test_pretraining_reaches_every_parameter():
    model = encoder(True, dropout=0.0, layerdrop=0.0, modality_dropout=0.0)
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def gradient(params, stats):
        def loss(params):
            found = nnx.merge(graphdef, params, stats).predict(VIDEO, AUDIO, PADDING, Rngs(0))
            return masked_prediction_loss(found.logits, TARGETS, found.hidden, ~PADDING)[0] + 10 * found.penalty

        return jax.grad(loss)(params)

    gradients = gradient(nnx.to_pure_dict(params), nnx.to_pure_dict(stats))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    unmoved = [path for path, g in traverse_util.flatten_dict(gradients).items() if not np.abs(g).max() > 0]
    assert unmoved == [("encoder", "layers", "key", "bias")] or not unmoved  # a key bias moves no softmax


@pytest.mark.parametrize("changes", [{}, {"mask_selection": "same_other_seq"}, {"masking": "feature"}])
def test_predictions_are_of_hidden_frames(changes):
    graphdef, state = nnx.split(encoder(**changes))
    predict = jax.jit(lambda state, *clips: nnx.merge(graphdef, state).predict(*clips, Rngs(0)))
    state = nnx.to_pure_dict(state)
    found = predict(state, VIDEO, AUDIO, PADDING)
    assert found.logits.shape == (2, 9, 7) and abs(found.logits).max() <= 10.001
    assert found.hidden.any() and not (found.hidden & PADDING).any()
    state["mask_emb"] = 5 + state["mask_emb"]
    assert abs(predict(state, VIDEO, AUDIO, PADDING).logits - found.logits).max() > 1e-2
    spoilt = predict(state, VIDEO.at[1, 5:].set(1e3), AUDIO, PADDING), predict(state, VIDEO, AUDIO, PADDING)
    np.testing.assert_allclose(*(own.logits[~PADDING] for own in spoilt), atol=1e-4)
    np.testing.assert_allclose(*(own.penalty for own in spoilt), rtol=1e-5)


def test_modalities_are_dropped_clip_by_clip_and_only_in_training():
    heard, seen = jnp.ones((400, 1, 1)), 2 * jnp.ones((400, 1, 1))
    config = dict(modality_dropout=0.5, audio_dropout=0.25)
    kept = encoder(**config)._drop_modality(heard, seen, Rngs(0))
    np.testing.assert_array_equal(kept, (heard, seen))
    heard, seen = encoder(True, **config)._drop_modality(heard, seen, Rngs(0))
    assert not ((heard == 0) & (seen == 0)).any()
    assert 0.07 < (heard == 0).mean() < 0.18
    assert 0.3 < (seen == 0).mean() < 0.45
    assert set(np.unique(heard)) == {0, 1} and set(np.unique(seen)) == {0, 2}


def test_gradients_are_scaled_and_values_kept():
    value, slope = jax.value_and_grad(lambda x: _scale_gradient(x, 0.1) ** 2)(3.0)
    np.testing.assert_allclose((value, slope), (9.0, 0.6), rtol=1e-6)


def test_sizes_are_those_of_the_paper():
    def count(size):
        abstract = nnx.eval_shape(lambda: AVHuBERT(default_config(size), rngs=Rngs(0)))
        return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(abstract, nnx.Param)))

    mask_emb = 104  # the published counts are of the encoder alone
    assert count("base") - mask_emb == 102_620_288
    assert count("large") - mask_emb == 324_622_976


def test_bfloat16_stays_near():
    found = run(encoder(dtype=jnp.bfloat16), video=VIDEO, audio=AUDIO)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), run(encoder(), video=VIDEO, audio=AUDIO), atol=0.2)
