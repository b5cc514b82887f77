import jax.numpy as jnp
import numpy as np
import pytest

from tests.compiled import run
from tests.small_vocoder import filled
from v2s_jax.models import dit, mel_transformer
from v2s_jax.models.fold import fold
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.registry import build_denoiser
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.time_embedding import sinusoids

RNG = np.random.default_rng(0)
X, CONDITION = (jnp.asarray(RNG.standard_normal((2, 7, width), np.float32)) for width in (12, 5))
MASK = jnp.arange(7)[None] < jnp.array([[7], [4]])
TIME = jnp.array([0.2, 0.7])


def config(name, **changes):
    made = {"dit": dit, "mel_transformer": mel_transformer}[name].default_config()
    made.update(dict(channels=12, condition=5, layers=2, width=8, heads=2, hidden=16) | changes)
    if name == "mel_transformer":
        made.conv_pos, made.conv_pos_groups = 4, 2
    return made


def denoiser(name, **changes):
    return evaluation_mode(filled(lambda: build_denoiser(config(name, **changes), Rngs(0))))


@pytest.mark.parametrize("name", ["dit", "mel_transformer"])
def test_a_padded_clip_is_denoised_as_the_clip_alone(name):
    module = denoiser(name)
    padded = run(module, X.at[1, 4:].set(9.0), TIME, CONDITION.at[1, 4:].set(-9.0), MASK)
    alone = run(module, X[1:, :4], TIME[1:], CONDITION[1:, :4], MASK[1:, :4])
    assert padded.shape == X.shape and padded.dtype == jnp.float32
    np.testing.assert_allclose(padded[1, :4], alone[0], atol=1e-5)


@pytest.mark.parametrize("name", ["dit", "mel_transformer"])
def test_everything_given_matters(name):
    module = denoiser(name)
    given = [X, TIME, CONDITION]
    before = run(module, *given, MASK)
    for index in range(3):
        changed = [x + 0.3 if i == index else x for i, x in enumerate(given)]
        assert np.abs(run(module, *changed, MASK) - before).max() > 1e-3


@pytest.mark.parametrize("name", ["dit", "mel_transformer"])
def test_scanned_unrolled_and_folded_agree(name):
    scanned, unrolled = denoiser(name), denoiser(name, scan=False)
    expected = run(scanned, X, TIME, CONDITION, MASK)
    for other in (unrolled, fold(scanned)):
        np.testing.assert_allclose(run(other, X, TIME, CONDITION, MASK)[MASK], expected[MASK], atol=1e-5)


def test_dropout_in_training_alone():
    module = filled(lambda: build_denoiser(config("dit", dropout=0.5), Rngs(0)))
    one, other = (module(X, TIME, CONDITION, MASK, Rngs(dropout=seed)) for seed in (0, 1))
    assert np.abs(one - other).max() > 1e-3
    still = evaluation_mode(module)
    np.testing.assert_array_equal(*(still(X, TIME, CONDITION, MASK, Rngs(dropout=seed)) for seed in (0, 1)))


def test_a_new_dit_says_nothing():
    fresh = evaluation_mode(build_denoiser(config("dit"), Rngs(0)))
    np.testing.assert_array_equal(fresh(X, TIME, CONDITION, MASK), np.zeros_like(X))
    with pytest.raises(ValueError, match="no multiple of twice 3 heads"):
        build_denoiser(config("dit", heads=3), Rngs(0))


def test_rotations_tell_distances_alone():
    query, key = (jnp.asarray(RNG.standard_normal((1, 1, 1, 8), np.float32)) for _ in range(2))
    turned = [dit.rotate(jnp.tile(x, (1, 6, 1, 1)))[0, :, 0] for x in (query, key)]
    scores = np.asarray(turned[0] @ turned[1].T)
    np.testing.assert_allclose(scores[1:, 1:], scores[:-1, :-1], atol=1e-5)
    np.testing.assert_allclose(np.diag(scores), float((query * key).sum()), atol=1e-5)
    assert np.abs(np.diff(scores[0])).max() > 1e-3


def test_sinusoids_by_hand():
    # A thousandth is one step: frequencies 1 and 1/100 for a width of 4.
    np.testing.assert_allclose(
        sinusoids(jnp.array([0.0, 0.001]), 4), [[1, 1, 0, 0], np.r_[np.cos([1, 0.01]), np.sin([1, 0.01])]], atol=1e-6
    )
