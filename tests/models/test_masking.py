import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.models import masking
from v2s_jax.models.masking import cosine_logits, masked_prediction_loss

span_mask = jax.jit(masking.span_mask, static_argnums=(2, 3, 4))
other_span = jax.jit(masking.other_span)


def lengths_to_mask(lengths, frames):
    return jnp.arange(frames)[None] < jnp.asarray(lengths)[:, None]


def runs(row):
    """(start, end) of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2], strict=True))


def test_single_frames_are_drawn_without_repetition():
    mask = lengths_to_mask([10, 4, 0], 10)
    hidden = span_mask(jax.random.key(0), mask, 0.5, 1)
    np.testing.assert_array_equal(hidden.sum(1), [5, 2, 0])
    assert not (hidden & ~mask).any()


def test_the_number_of_spans_is_rounded_by_chance():
    mask = lengths_to_mask([10] * 400, 10)
    counts = np.asarray(span_mask(jax.random.key(0), mask, 0.25, 1, 0).sum(1))
    assert set(counts) == {2, 3}
    assert 160 < (counts == 3).sum() < 240


@pytest.mark.parametrize("length", [3, 10])
def test_spans_have_their_length_and_every_frame_its_turn(length):
    mask = lengths_to_mask([40] * 300, 50)
    hidden = np.asarray(span_mask(jax.random.key(1), mask, 0.5, length))
    for row in hidden:
        assert all(end - start >= length or end == 40 for start, end in runs(row))
    share = hidden.mean(0)
    assert (share[:39] > 0.02).all() and (share[40:] == 0).all()  # AV-HuBERT's starts leave the very last frame out
    assert 0.25 < hidden[:, :40].mean() <= 0.5


def test_clips_shorter_than_a_span_are_hidden_from_some_frame_on():
    hidden = np.asarray(span_mask(jax.random.key(0), lengths_to_mask([4] * 50, 12), 0.8, 10))
    assert all(runs(row)[-1][1] == 4 for row in hidden)
    assert not hidden[:, 4:].any()


def test_hidden_runs_are_replaced_by_runs_elsewhere_in_the_clip():
    mask = lengths_to_mask([30] * 100, 36)
    hidden = span_mask(jax.random.key(2), mask, 0.3, 5)
    source = np.asarray(other_span(jax.random.key(3), hidden, mask))
    hidden, places, sources = np.asarray(hidden), np.arange(36), set()
    for row, own in zip(hidden, source, strict=True):
        np.testing.assert_array_equal(own[~row], places[~row])
        for start, end in runs(row):
            length, begin = end - start, own[start]
            np.testing.assert_array_equal(own[start:end], np.minimum(begin + np.arange(length), 29))
            assert begin + length < start or begin >= end or (begin == 0 and start <= length and end == 30)
            sources.add(begin)
    assert {0, 29} < sources and len(sources) > 20


def test_a_wholly_hidden_clip_stays():
    mask = jnp.ones((1, 5), bool)
    np.testing.assert_array_equal(other_span(jax.random.key(0), mask, mask), [[0, 1, 2, 3, 4]])


def test_cosine_logits_by_hand():
    found = cosine_logits(jnp.array([[[3.0, 4.0], [0.0, 0.0]]]), jnp.array([[2.0, 0.0], [0.0, -1.0]]), 0.1)
    np.testing.assert_allclose(found, [[[6, -8], [0, 0]]], atol=1e-5)


def test_cosine_logits_of_silence_have_a_gradient():
    labels = jnp.array([[2.0, 0.0], [0.0, -1.0]])
    gradient = jax.grad(lambda x: cosine_logits(x, labels, 0.1)[0, 0, 0])(jnp.zeros((1, 1, 2)))
    assert np.isfinite(gradient).all()


def test_loss_by_hand():
    logits = jnp.log(jnp.array([[[0.25, 0.75], [0.5, 0.5], [0.9, 0.1], [0.1, 0.9]]]))
    targets = jnp.array([[1, 0, 1, 0]])
    hidden, mask = jnp.array([[True, False, True, True]]), jnp.array([[True, True, True, False]])
    loss, metrics = masked_prediction_loss(logits, targets, hidden, mask)
    np.testing.assert_allclose(loss, -(np.log(0.75) + np.log(0.1)) / 2, rtol=1e-5)
    assert metrics["hidden_accuracy"] == 0.5 and metrics["shown_accuracy"] == 1
    both, _ = masked_prediction_loss(logits, targets, hidden, mask, 1.0, 0.5)
    np.testing.assert_allclose(both, -(np.log(0.75) + np.log(0.1) + 0.5 * np.log(0.5)) / 3, rtol=1e-5)


def test_a_batch_with_nothing_to_learn_has_no_loss():
    loss, _ = masked_prediction_loss(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2), int), *[jnp.zeros((1, 2), bool)] * 2)
    assert loss == 0
