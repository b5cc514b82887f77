import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2s_jax.synthesis.buckets import (
    centre_crop,
    ladder,
    padded_faces,
    padded_frames,
    padded_mels,
    padded_mouths,
    padded_sounds,
    padded_vectors,
    rung,
)


@given(st.integers(25, 700), st.data())
def test_every_length_has_a_rung_with_little_padding(window, data):
    rungs = ladder(window)
    frames = data.draw(st.integers(1, window))
    length = rung(frames, rungs)
    assert rungs[-1] == window and list(rungs) == sorted(set(rungs))
    assert frames <= length <= max(25, 1.53 * frames) or length == window


@pytest.mark.parametrize("window, rungs", [(75, (25, 38, 50, 75)), (10, (10,)), (80, (25, 38, 50, 75, 80))])
def test_ladders(window, rungs):
    assert ladder(window) == rungs


def test_centre_crop():
    mouth = np.arange(96 * 96).reshape(1, 96, 96).astype(np.uint8)
    np.testing.assert_array_equal(centre_crop(mouth), mouth[:, 4:92, 4:92])


def test_padded_mouths():
    mouths = [np.full((n, 96, 96), 7, np.uint8) for n in (3, 5)]
    batch = padded_mouths(mouths, 3, 6)
    assert batch.mouth.shape == (3, 6, 88, 88)
    np.testing.assert_array_equal(batch.length, [3, 5, 0])
    assert (batch.mouth.reshape(3, 6, -1).max(-1) == [[7] * 3 + [0] * 3, [7] * 5 + [0], [0] * 6]).all()
    assert batch.audio is None and batch.face is None


def test_padded_sounds():
    padded = padded_sounds([np.full(n, 0.5, np.float32) for n in (639, 1300)], 3, 2)
    assert padded.shape == (3, 1280) and padded.dtype == np.float32
    np.testing.assert_array_equal(np.count_nonzero(padded, axis=1), [639, 1280, 0])
    assert padded[0, :639].all() and padded[1].all()


def test_padded_mels():
    padded = padded_mels([np.full((n, 80), -3, np.float16) for n in (5, 8)], 3, 2)
    assert padded.shape == (3, 8, 80) and padded.dtype == np.float32
    assert (padded.min(-1) == [[-3] * 5 + [0] * 3, [-3] * 8, [0] * 8]).all()


def test_padded_frames():
    padded = padded_frames([np.full((n, 48, 48), 7, np.uint8) for n in (3, 5)], 3, 6, 48)
    assert padded.shape == (3, 6, 48, 48) and padded.dtype == np.uint8
    assert (padded.reshape(3, 6, -1).min(-1) == [[7] * 3 + [0] * 3, [7] * 5 + [0], [0] * 6]).all()


def test_padded_vectors_repeat_the_first():
    padded = padded_vectors([np.arange(3.0), np.arange(3.0) + 5], 4)
    assert padded.dtype == np.float32
    np.testing.assert_array_equal(padded[:, 0], [0, 5, 0, 0])


def test_padded_faces_repeat():
    face = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * np.ones((3, 112, 112, 3), np.uint8)
    padded = padded_faces([face], 2)
    np.testing.assert_array_equal(padded[:, :, 0, 0, 0], [[0, 1, 2, 0], [0, 0, 0, 0]])
