import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.models.conformer import Conformer
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.modality_norm import AUDIO, BOTH, STATES, VIDEO, ModalityBatchNorm
from v2s_jax.models.resnet import masked_batch_norm
from v2s_jax.models.rngs import Rngs

ROWS, FRAMES, WIDTH = 4, 5, 3


def moved():
    """A norm with a scale, a shift and statistics of its own for every state."""
    norm, rng = ModalityBatchNorm(WIDTH, Rngs(0)), np.random.default_rng(1)
    nnx.update(norm, jax.tree.map(lambda x: x + jnp.asarray(rng.uniform(0.1, 1, x.shape), x.dtype), nnx.state(norm)))
    return norm


GRAPHDEF, STATE = nnx.split(moved())


@jax.jit
def train(x, mask, state):
    norm = nnx.merge(GRAPHDEF, STATE, copy=True)
    y = norm(x, mask=mask[..., None], state=state)
    return y, norm.mean[...], norm.var[...]


@jax.jit
def speak(x, mask, state):
    return evaluation_mode(nnx.merge(GRAPHDEF, STATE))(x, mask=mask[..., None], state=state)


def frames(seed=0):
    return np.random.default_rng(seed).normal(size=(ROWS, FRAMES, WIDTH)).astype(np.float32)


def valid(lengths):
    return np.arange(FRAMES)[None] < np.asarray(lengths)[:, None]


def by_hand(x, mask, state):
    """Output, running means and running variances in plain numpy, state by state."""
    norm = moved()
    scale, bias, means, variances = (np.array(v[...]) for v in (norm.scale, norm.bias, norm.mean, norm.var))
    y = np.zeros_like(x)
    for which in range(STATES):
        rows = state == which
        seen = x[rows][mask[rows]]
        if len(seen):
            mean, var = seen.mean(0), seen.var(0)
            y[rows] = (x[rows] - mean) / np.sqrt(var + 1e-5) * scale + bias
            means[which] = 0.9 * means[which] + 0.1 * mean
            variances[which] = 0.9 * variances[which] + 0.1 * var
    return y, means, variances


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, STATES - 1), min_size=ROWS, max_size=ROWS),
    st.lists(st.integers(0, FRAMES), min_size=ROWS, max_size=ROWS),
)
def test_every_state_has_statistics_of_its_own_rows(states, lengths):
    x, mask, state = frames(), valid(lengths), np.array(states, np.int32)
    found, expected = train(x, mask, state), by_hand(x, mask, state)
    np.testing.assert_allclose(np.asarray(found[0])[mask], expected[0][mask], atol=1e-5)
    for running, want, start in zip(found[1:], expected[1:], (moved().mean, moved().var), strict=True):
        np.testing.assert_allclose(running, want, atol=1e-6)
        absent = [which for which in range(STATES) if not mask[state == which].any()]
        np.testing.assert_array_equal(np.asarray(running)[absent], np.asarray(start[...])[absent])


def test_other_states_and_padding_do_not_reach_a_row():
    mask, state = valid([5, 3, 5, 5]), np.array([VIDEO, VIDEO, AUDIO, BOTH], np.int32)
    x, other = frames(), frames()
    other[2:], other[1, 3:] = 100, -100
    before, after = (train(values, mask, state) for values in (x, other))
    np.testing.assert_array_equal(np.asarray(before[0])[:2][mask[:2]], np.asarray(after[0])[:2][mask[:2]])
    np.testing.assert_array_equal(before[1][VIDEO], after[1][VIDEO])
    assert (before[1][AUDIO] != after[1][AUDIO]).all()


@pytest.mark.parametrize("wrong", [np.inf, np.nan, 1e25])
def test_what_is_not_finite_stays_in_its_state(wrong):
    mask, state = valid([5, 3, 5, 5]), np.array([VIDEO, VIDEO, AUDIO, BOTH], np.int32)
    x = frames()
    x[2] = wrong
    before, after = (train(values, mask, state) for values in (frames(), x))
    np.testing.assert_array_equal(np.asarray(before[0])[:2][mask[:2]], np.asarray(after[0])[:2][mask[:2]])
    for kept, found in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(np.asarray(kept)[[VIDEO, BOTH]], np.asarray(found)[[VIDEO, BOTH]])
    assert (np.asarray(before[1])[AUDIO] != np.asarray(after[1])[AUDIO]).all()


def test_inference_uses_the_statistics_of_the_rows_state_and_one_program():
    norm, x, mask = moved(), frames(), valid([5, 5, 5, 5])
    for state in ([VIDEO] * 4, [AUDIO, BOTH, VIDEO, AUDIO]):
        rows = np.array(state, np.int32)
        mean, var = (np.asarray(running[...])[rows][:, None] for running in (norm.mean, norm.var))
        plain = (x - mean) / np.sqrt(var + 1e-5)
        expected = plain * np.asarray(norm.scale[...]) + np.asarray(norm.bias[...])
        np.testing.assert_allclose(speak(x, mask, rows), expected, rtol=1e-5, atol=1e-5)
    assert speak._cache_size() == 1


def test_rows_of_one_state_are_normalised_as_by_an_ordinary_norm():
    x, mask, state = frames(), valid([5, 2, 0, 4]), np.full(ROWS, BOTH, np.int32)
    own, plain = ModalityBatchNorm(WIDTH, Rngs(0)), masked_batch_norm(WIDTH, Rngs(0))
    expected = plain(jnp.asarray(x), mask=mask[..., None])
    found = own(jnp.asarray(x), mask=jnp.asarray(mask)[..., None], state=jnp.asarray(state))
    np.testing.assert_allclose(found[mask], expected[mask], atol=1e-5)
    np.testing.assert_allclose(own.mean[BOTH], plain.mean[...], atol=1e-6)
    np.testing.assert_allclose(own.var[BOTH], plain.var[...], atol=1e-6)


def test_gradients_are_those_of_an_ordinary_norm():
    x, mask, state = frames(), valid([5, 2, 0, 4]), jnp.full(ROWS, AUDIO, jnp.int32)
    weight = jnp.asarray(frames(3)) * mask[..., None]

    def total(norm, **given):
        return lambda x: jnp.sum(weight * norm(WIDTH, Rngs(0))(x, mask=jnp.asarray(mask)[..., None], **given))

    found, expected = (
        jax.grad(total(norm, **given))(jnp.asarray(x))
        for norm, given in ((ModalityBatchNorm, {"state": state}), (masked_batch_norm, {}))
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("norm", [masked_batch_norm, ModalityBatchNorm])
def test_a_conformer_takes_either_norm(norm):
    model = evaluation_mode(Conformer(1, 4, 2, 4, kernel_size=3, norm=norm, rngs=Rngs(0)))
    states = norm is ModalityBatchNorm
    assert model.blocks[0].conv.depthwise_norm.mean.shape == ((STATES, 4) if states else (4,))
    if states:
        statistics = model.blocks[0].conv.depthwise_norm
        statistics.mean[...] = jnp.arange(3 * 4.0).reshape(3, 4)
        x, mask = jnp.ones((3, 2, 4)), jnp.ones((3, 2), bool)
        rows = model(x, mask, None, jnp.arange(3))
        assert len(np.unique(np.asarray(rows[:, 0, 0]).round(5))) == 3
