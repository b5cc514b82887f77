import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.compiled import run
from tests.small_vocoder import filled
from v2s_jax.data.batch import Batch
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import ge2e
from v2s_jax.systems.base import System
from v2s_jax.systems.ge2e import GE2E, Disguise, default_config

functions = (ge2e.equal_error_rate, ge2e.middle_partial, ge2e.normalised, ge2e.similarity, ge2e.softmax_loss)
equal_error_rate, middle_partial, normalised, similarity, softmax_loss = map(jax.jit, functions)
BOTH = jnp.ones(2, bool)
# Two speakers, two utterances each: along x and at 60 degrees; along y and at 150 degrees.
ANGLES = np.deg2rad([[0, 60], [90, 150]])
VECTORS = jnp.asarray(np.stack([np.cos(ANGLES), np.sin(ANGLES)], -1), jnp.float32)


def small_config(**changes):
    config = default_config()
    config.encoder.update({"layers": 1, "hidden": 6, "dim": 8})
    config.update({"utterances": 2} | changes)
    return config


@pytest.fixture(scope="module")
def system():
    return filled(lambda: GE2E(small_config(), rngs=Rngs(0)))


def batch(lengths=(40, 40, 40, 40), frames=40):
    rng = np.random.default_rng(0)
    audio = 0.1 * rng.normal(size=(len(lengths), 640 * frames)).astype(np.float32)
    audio *= np.arange(640 * frames)[None] < 640 * np.array(lengths)[:, None]
    return Batch(length=np.array(lengths, np.int32), audio=audio)


def test_similarity_by_hand():
    """Centroids point at 30 and 120 degrees; one's own leaves oneself out, so it is the speaker's other utterance."""
    own, other = np.cos(np.deg2rad(60)), np.cos(np.deg2rad([[120, 60], [60, 120]]))
    expected = np.zeros((2, 2, 2))
    expected[0, :, 0] = expected[1, :, 1] = own
    expected[0, :, 1], expected[1, :, 0] = other
    found = similarity(VECTORS, jnp.float32(10), jnp.float32(-5))
    np.testing.assert_allclose(found, 10 * expected - 5, atol=1e-5)


def test_loss_by_hand():
    """Scores of one's own 0 (cosine 0.5); of the other speaker -10 (cosine -0.5) and 0 (0.5) by turns."""
    scores = similarity(VECTORS, jnp.float32(10), jnp.float32(-5))
    expected = np.mean([np.log(1 + np.exp(-10)), np.log(2), np.log(2), np.log(1 + np.exp(-10))])
    assert float(softmax_loss(scores, BOTH)) == pytest.approx(expected, rel=1e-5)


def test_scale_stays_positive():
    """Otherwise unlike utterances would be taken for one speaker's."""
    scores = similarity(VECTORS, jnp.float32(-3), jnp.float32(2))
    np.testing.assert_allclose(scores, 2, atol=1e-5)


def test_padding_speakers_count_nothing():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 4, 8))
    vectors = jnp.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), jnp.float32)
    scale, bias = jnp.float32(10), jnp.float32(-5)
    alone, padded = similarity(vectors[:2], scale, bias), similarity(vectors, scale, bias)
    present = jnp.array([True, True, False])
    for measure in (softmax_loss, equal_error_rate):
        assert float(measure(padded, present)) == pytest.approx(float(measure(alone, BOTH)), rel=1e-5)


def test_loss_pulls_utterances_to_their_speaker():
    def loss(vectors, scale, bias):
        unit = vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
        return softmax_loss(similarity(unit, scale, bias), BOTH)

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(VECTORS, jnp.float32(10), jnp.float32(-5))
    moved = VECTORS - 0.01 * gradients[0]
    assert loss(moved, jnp.float32(10), jnp.float32(-5)) < loss(VECTORS, jnp.float32(10), jnp.float32(-5))
    assert float(gradients[1]) == pytest.approx(-0.5 / (1 + np.exp(10)), rel=0.01)
    assert abs(float(gradients[2])) < 1e-6  # what is added to all scores changes no softmax


def test_equal_error_rate_by_hand():
    """Genuine scores 4, 3, 2, 0.5 and strangers' 2.5, 1, 0, -1: above 2 lie 3/4 of the former and 1/4 of the latter."""
    scores = jnp.array([[[4.0, 2.5], [3.0, 1.0]], [[0.0, 2.0], [-1.0, 0.5]]])
    assert float(equal_error_rate(scores, BOTH)) == pytest.approx(0.25)
    apart = jnp.array([[[4.0, 2.5], [3.0, 1.0]], [[0.0, 5.0], [-1.0, 3.5]]])
    assert float(equal_error_rate(apart, BOTH)) == 0
    assert float(equal_error_rate(-apart, BOTH)) == 1


def test_the_middle_of_a_clip_is_heard():
    audio = jnp.arange(60 * 640, dtype=jnp.float32)[None].repeat(3, 0)
    found = middle_partial(audio, jnp.array([60, 40, 10]))
    assert found.shape == (3, 25600)
    np.testing.assert_array_equal(found[:, 0], [10 * 640, 0, 0])
    short = middle_partial(audio[:, : 10 * 640], jnp.array([10, 10, 10]))
    np.testing.assert_array_equal(short[0, : 10 * 640], audio[0, : 10 * 640])
    assert not short[:, 10 * 640 :].any()


def test_quiet_waves_are_raised_and_others_left():
    wave = jnp.asarray(np.random.default_rng(0).normal(size=(1, 800)), jnp.float32)
    rows = jnp.concatenate([0.001 * wave, 0.5 * wave, 0 * wave])
    rms = jnp.sqrt(jnp.mean(normalised(rows) ** 2, -1))
    np.testing.assert_allclose(rms, [10**-1.5, jnp.sqrt(jnp.mean(rows[1] ** 2)), 0], rtol=1e-5)


def test_a_disguise_is_one_vocal_tract_a_speaker_and_new_every_time():
    """With the other changes off, equal waves of one speaker stay equal, those of two speakers do not."""
    wave = jnp.asarray(np.random.default_rng(0).normal(size=(1, 1, 3200)), jnp.float32)
    waves = jnp.broadcast_to(wave, (2, 2, 3200))
    disguise = Disguise(0.2, 0.0, (-200.0, -200.0))
    mel = run(disguise, waves, seed=0)
    assert mel.shape == (2, 2, 21, 40)
    np.testing.assert_allclose(mel[:, 0], mel[:, 1], rtol=1e-4)
    assert abs(mel[0] / mel[1] - 1).max() > 0.01
    assert abs(mel[0] / run(disguise, waves, seed=1)[0] - 1).max() > 0.01
    plain = run(evaluation_mode(disguise), waves, seed=0)
    np.testing.assert_array_equal(plain[0], plain[1])


def test_a_disguise_changes_loudness_and_adds_noise_within_bounds():
    time = jnp.arange(16000) / 16000
    waves = jnp.broadcast_to(jnp.sin(2 * jnp.pi * 1000 * time), (2, 3, 16000))
    plain = run(evaluation_mode(Disguise(0.0, 0.0, (0.0, 0.0))), waves, seed=0)[0, 0, 50]
    louder = run(Disguise(0.0, 6.0, (-200.0, -200.0)), waves, seed=0)[:, :, 50].max(-1) / plain.max()
    decibels = 10 * np.log10(louder.ravel())
    assert (abs(decibels) <= 6.01).all() and decibels.std() > 1
    noisy = run(Disguise(0.0, 0.0, (-20.0, -20.0)), waves, seed=0)[0, 0, 50]
    assert noisy[-1] > 1e3 * plain[-1] and noisy.max() == pytest.approx(float(plain.max()), rel=0.2)


def test_system(system):
    assert isinstance(system, System) and system.utterances == 2
    loss, metrics = run(system, batch(), method="loss", seed=0)
    assert jnp.isfinite(loss) and metrics.keys() == {"eer", "scale", "bias"}
    vectors = run(evaluation_mode(system), batch(), method="synthesize")
    np.testing.assert_allclose(jnp.linalg.norm(vectors, axis=-1), 1, rtol=1e-5)


def test_rows_without_a_clip_do_not_change_the_loss(system):
    judge = evaluation_mode(system)
    whole, _ = run(judge, batch(), method="loss", seed=0)
    padded, _ = run(judge, batch((40, 40, 40, 40, 0, 0)), method="loss", seed=0)
    np.testing.assert_allclose(padded, whole, rtol=1e-5)


def test_all_parameters_learn(system):
    graphdef, params, rest = nnx.split(system, nnx.Param, ...)

    def loss(params):
        return nnx.merge(graphdef, params, rest).loss(batch(), Rngs(0))[0]

    gradients = nnx.to_flat_state(jax.jit(jax.grad(loss))(params))
    still = {"/".join(map(str, path)) for path, value in gradients if not np.any(value[...])}
    assert still <= {"encoder/similarity/bias"}


def test_one_utterance_a_speaker_is_refused():
    with pytest.raises(ValueError, match="utterances is 1"):
        GE2E(small_config(utterances=1), rngs=Rngs(0))
