import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.compiled import run
from tests.small_vocoder import filled
from v2s_jax.features.speaker_mel import normalise_volume, partials, trim_silence
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.speaker import LSTM, SIZES, SpeakerEncoder, default_config, unit


def tiny(**changes) -> SpeakerEncoder:
    config = default_config("small")
    config.update({"hidden": 6, "dim": 8} | changes)
    return filled(lambda: SpeakerEncoder(config, rngs=Rngs(0)))


def test_lstm_by_hand():
    """Two steps of one cell: gates in the order input, forget, cell, output, and both biases added."""
    layer = LSTM(1, 1, 0, jnp.float32, Rngs(0))
    layer.input.kernel[...] = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    layer.input.bias[...] = jnp.array([0.1, 0.2, 0.3, 0.4])
    layer.recurrent.kernel[...] = jnp.array([[0.5, -0.5, 1.0, -1.0]])
    layer.recurrent.bias[...] = jnp.array([0.0, 0.1, 0.0, -0.1])

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    c1 = sigmoid(1.1) * np.tanh(3.3)
    h1 = sigmoid(4.3) * np.tanh(c1)
    c2 = sigmoid(-2 + 0.3 - 0.5 * h1) * c1 + sigmoid(-1 + 0.1 + 0.5 * h1) * np.tanh(-3 + 0.3 + h1)
    h2 = sigmoid(-4 + 0.3 - h1) * np.tanh(c2)
    found = layer(jnp.array([[[1.0], [-1.0]]]))
    np.testing.assert_allclose(found[0, :, 0], [h1, h2], rtol=1e-5)


def test_projection_narrows_the_state():
    layer = LSTM(3, 5, 2, jnp.float32, Rngs(0))
    assert layer(jnp.ones((4, 7, 3))).shape == (4, 7, 2)
    assert layer.recurrent.kernel.shape == (2, 20)


def test_every_size_has_the_numbers_of_the_published_layout():
    counts = {}
    for size in SIZES:
        model = nnx.eval_shape(lambda size=size: SpeakerEncoder(default_config(size), rngs=Rngs(0)))
        counts[size] = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model)))
    assert counts["published"] == 1_423_618  # of Resemblyzer's pretrained.pt, similarity included
    assert counts["small"] < 500_000


def test_embeddings_are_unit_vectors_without_negative_entries():
    mel = np.random.default_rng(0).uniform(size=(3, 20, 40)).astype(np.float32)
    found = run(tiny(), mel)
    assert found.shape == (3, 8) and found.dtype == jnp.float32
    assert (found >= 0).all()
    np.testing.assert_allclose(jnp.linalg.norm(found, axis=-1), 1, rtol=1e-5)


def test_rows_do_not_see_each_other():
    mel = jnp.asarray(np.random.default_rng(0).uniform(size=(3, 20, 40)), jnp.float32)
    model = tiny()
    np.testing.assert_allclose(run(model, mel)[1:2], run(model, mel[1:2]), atol=1e-6)


@pytest.mark.parametrize("size", ["published", "small"])
def test_gradient_reaches_the_sound_and_is_finite_at_silence(size):
    config = default_config(size)
    config.update({"layers": 2, "hidden": 6, "dim": 8})
    model = filled(lambda: SpeakerEncoder(config, rngs=Rngs(0)))
    mel = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1, size=(1, 12, 40)), jnp.float32)

    weights = jnp.asarray(np.random.default_rng(2).normal(size=(1, 8)), jnp.float32)

    @jax.jit
    def score(mel):
        return (model(mel) * weights).sum()

    slopes = jax.jit(jax.grad(score))
    gradient = slopes(mel)
    assert (jnp.abs(gradient).sum(-1) > 0).all()  # of every frame
    direction = jnp.asarray(np.random.default_rng(1).normal(size=mel.shape), jnp.float32)
    step = 1e-3
    slope = (score(mel + step * direction) - score(mel - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=0.01, abs=1e-4)
    assert jnp.isfinite(slopes(jnp.zeros_like(mel))).all()


def test_unit_of_nothing_is_nothing_with_a_finite_gradient():
    np.testing.assert_allclose(unit(jnp.array([[3.0, 4.0]])), [[0.6, 0.8]], rtol=1e-6)
    assert not unit(jnp.zeros((1, 3))).any()
    assert jnp.isfinite(jax.jacobian(unit)(jnp.zeros((1, 3)))).all()


def test_bfloat16_computes_about_the_same():
    config = default_config("small")
    config.update({"hidden": 16, "dim": 8})
    mel = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 20, 40)), jnp.float32)
    exact, rough = (
        run(filled(lambda dtype=dtype: SpeakerEncoder(config, rngs=Rngs(0), dtype=dtype)), mel)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, exact, atol=0.02)


@pytest.mark.parametrize("seconds, count", [(0.5, 1), (3.0, 3)])
def test_an_utterance_is_the_normalised_mean_of_its_partials(seconds, count):
    """Partials are padded to a power of two for the compiler; the padding must not count."""
    wave = (0.01 * np.random.default_rng(0).normal(size=int(16000 * seconds))).astype(np.float32)
    model = tiny()
    mels = partials(trim_silence(normalise_volume(wave)))
    assert len(mels) == count
    mean = np.mean([np.asarray(run(model, mel[None]))[0] for mel in mels], axis=0)
    found = model.embed_utterance(wave)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)
    assert found.dtype == np.float32


def test_loudness_does_not_matter_below_30_db():
    wave = (0.01 * np.random.default_rng(0).normal(size=32000)).astype(np.float32)
    model = tiny()
    np.testing.assert_allclose(model.embed_utterance(wave), model.embed_utterance(0.1 * wave), atol=1e-5)


def test_no_sound_at_all_has_an_embedding():
    assert np.isfinite(tiny().embed_utterance(np.zeros(0, np.float32))).all()
