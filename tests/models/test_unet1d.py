import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_vocoder import filled
from v2s_jax.models import unet1d
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.registry import build_denoiser
from v2s_jax.models.remat import KEEP_ALL, KEEP_NOTHING
from v2s_jax.models.rngs import Rngs

RNG = np.random.default_rng(0)
X, CONDITION = (jnp.asarray(RNG.standard_normal((2, 7, width), np.float32)) for width in (12, 5))
MASK = jnp.arange(7)[None] < jnp.array([[7], [4]])
TIME = jnp.array([0.2, 0.7])
NARROW = dict(channels=12, condition=5, widths=(4, 6), heads=2, head_dim=3, expansion=2, groups=2, middle=1)


def padding_of(seed, frames=5):
    """What may stand where there are no frames."""
    return jnp.asarray(np.random.default_rng(seed).normal(0, 9, (2, frames, 17)), jnp.float32)


def config(**changes):
    made = unet1d.default_config("small")
    made.update(NARROW | changes)
    return made


def build(**changes):
    return filled(lambda: build_denoiser(config(**changes), Rngs(0)))


@functools.cache
def program(**changes):
    """The compiled denoiser in evaluation mode; one compilation to a shape."""
    graphdef, state = nnx.split(evaluation_mode(build(**changes)))
    return functools.partial(jax.jit(lambda state, *given: nnx.merge(graphdef, state)(*given)), state)


def row_beside_others(row, lengths, padding, run):
    """What a padded batch says of a row, and what is said of it alone."""
    mask = jnp.arange(padding.shape[1])[None] < jnp.array(lengths)[:, None]
    x, condition = (
        jnp.where(mask[..., None], given[:, : mask.shape[1]], other)
        for given, other in zip((X, CONDITION), jnp.split(padding, [12], axis=-1), strict=True)
    )
    padded = run(x, TIME, condition, mask)
    assert padded.shape == x.shape and padded.dtype == jnp.float32 and np.isfinite(padded).all()
    only, length = slice(row, row + 1), lengths[row]
    alone = run(X[only, :length], TIME[only], CONDITION[only, :length], mask[only, :length])
    return padded[row, :length], alone[0]


@pytest.mark.slow
@given(
    length=st.sampled_from([2, 5]),
    other=st.integers(0, 5),
    row=st.integers(0, 1),
    padding=st.integers(0, 99).map(padding_of),
)
@settings(deadline=None, max_examples=20)
def test_a_padded_clip_is_denoised_as_the_clip_alone(length, other, row, padding):
    # Three levels and five steps: what is halved never comes out even.
    run = program(unstack=1, widths=(4, 6, 4), middle=0)
    lengths = [length, other] if row == 0 else [other, length]
    np.testing.assert_allclose(*row_beside_others(row, lengths, padding, run), atol=1e-5)


def test_so_is_one_whose_frames_are_taken_apart():
    run = program()
    np.testing.assert_allclose(*row_beside_others(1, [7, 4], padding_of(0, 7), run), atol=1e-5)


def test_gradients_of_a_padded_batch_are_those_of_the_clip_alone():
    graphdef, state = nnx.split(evaluation_mode(build(widths=(4, 4), middle=0)))

    @jax.jit
    def gradient(state, x, time, condition, mask):
        def loss(state):
            found = nnx.merge(graphdef, state)(x, time, condition, mask)
            return jnp.sum(jnp.where(mask[..., None], found, 0) ** 2)

        return jax.grad(loss)(state)

    state = nnx.to_pure_dict(state)
    lengths = jnp.array([[5], [0]])  # the other row fills a batch up
    padded = gradient(state, X, TIME, CONDITION, jnp.arange(7)[None] < lengths)
    alone = gradient(state, X[:1, :5], TIME[:1], CONDITION[:1, :5], jnp.ones((1, 5), bool))
    for found, expected in zip(*map(jax.tree.leaves, (padded, alone)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
        assert np.abs(found).max() > 0


def test_everything_given_matters():
    given = [X, TIME, CONDITION]
    before = program()(*given, MASK)
    for index in range(3):
        changed = [x + 0.3 if i == index else x for i, x in enumerate(given)]
        assert np.abs(program()(*changed, MASK) - before).max() > 1e-3


def test_mel_frames_of_one_video_frame_are_neighbours_and_far_ones_are_heard_too():
    run, full = program(), jnp.ones((2, 7), bool)
    before = run(X, TIME, CONDITION, full).reshape(2, 28, 3)
    after = run(X.at[0, 3, 3].add(1.0), TIME, CONDITION, full).reshape(2, 28, 3)  # the first bin of mel frame 13
    moved = np.abs(after - before).max(-1)
    assert moved[0].argmax() in (12, 13, 14) and (moved[0] > 0).all()
    assert not moved[1].any()


def test_recomputing_changes_nothing():
    def loss(module, *given):
        return jnp.sum(module(*given, Rngs(dropout=0)) ** 2)

    def gradient(remat):
        graphdef, params, rest = nnx.split(build(remat=remat, dropout=0.5, widths=(4,), middle=0), nnx.Param, ...)
        of = jax.grad(lambda params: loss(nnx.merge(graphdef, params, rest), X, TIME, CONDITION, MASK))
        return jax.jit(of)(nnx.to_pure_dict(params))

    for one, other in zip(*map(jax.tree.leaves, (gradient(KEEP_NOTHING), gradient(KEEP_ALL))), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-4)


def test_dropout_in_training_alone():
    graphdef, state = nnx.split(build(dropout=0.5, widths=(4,), middle=0))
    run = jax.jit(lambda state, seed: nnx.merge(graphdef, state)(X, TIME, CONDITION, MASK, Rngs(dropout=seed)))
    one, other, again = (run(state, jax.random.key(seed)) for seed in (0, 1, 0))
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_array_equal(one, again)


def test_bfloat16_is_close_and_gives_float32():
    abstract = nnx.eval_shape(lambda: build_denoiser(config(), Rngs(0), jnp.bfloat16))
    narrow = evaluation_mode(nnx.merge(nnx.graphdef(abstract), nnx.state(build())))
    found = jax.jit(lambda *given: narrow(*given))(X, TIME, CONDITION, MASK)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found[MASK], program()(X, TIME, CONDITION, MASK)[MASK], atol=0.1)


def test_a_new_one_says_nothing_and_keeps_a_signal_of_a_fair_size():
    fresh = evaluation_mode(jax.jit(lambda: build_denoiser(config(widths=(16, 16), middle=0), Rngs(0)))())
    graphdef, state = nnx.split(fresh)

    @jax.jit
    def run(state):
        model = nnx.merge(graphdef, state)
        steps = model.see(CONDITION).reshape(2, 28, -1)
        inside = jnp.concatenate([X.reshape(2, 28, 3), steps], -1)
        full = jnp.ones((2, 28), bool)
        return model(X, TIME, CONDITION, MASK), model._run(inside, jax.nn.mish(model.time(TIME)), full, None)

    said, inside = run(state)
    np.testing.assert_array_equal(said, np.zeros_like(X))
    assert 0.1 < inside.std() < 10


@pytest.mark.parametrize("size", unet1d.SIZES)
def test_every_size_has_the_same_settings(size):
    made = unet1d.default_config(size)
    assert made.keys() == unet1d.default_config().keys()
    nnx.eval_shape(lambda: build_denoiser(made, Rngs(0)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"unstack": 5}, "channels 12 is no multiple of unstack 5"),
        ({"widths": (4, 7)}, r"widths \(4, 7\) are not even multiples of 2 groups"),
        ({"widths": ()}, "widths"),
    ],
)
def test_settings_that_do_not_fit(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        build_denoiser(config(**changes), Rngs(0))
