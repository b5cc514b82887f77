import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from v2s_jax.synthesis.windows import cross_fade, plan, ramp


@st.composite
def shapes(draw):
    fade = draw(st.integers(1, 6))
    overlap = draw(st.integers(2 * fade, 2 * fade + 30))
    window = draw(st.integers(overlap + 2 * fade, overlap + 120))
    return draw(st.integers(1, 1500)), window, overlap, fade


@given(shapes())
@example((76, 75, 25, 4))
@example((75, 75, 25, 4))
@example((15000, 75, 25, 4))
@settings(deadline=None, max_examples=200)
def test_windows_cover_the_clip_and_leave_context_at_every_joint(shape):
    frames, window, overlap, fade = shape
    windows = plan(*shape)
    assert windows[0].start == windows[0].keep_start == 0
    assert windows[-1].stop == windows[-1].keep_stop == frames
    margin = (overlap - fade) // 2
    for left, right in zip(windows, windows[1:], strict=False):
        assert left.keep_stop - right.keep_start == fade
        assert left.stop - right.start >= overlap
        assert left.stop - left.keep_stop >= margin
        assert right.keep_start - right.start >= margin
        assert left.keep_start < right.keep_start and left.keep_stop < right.keep_stop
    if frames > window:
        assert {w.stop - w.start for w in windows} == {window}


@given(shapes(), st.sampled_from([(4, 3), (16, None)]))
@settings(deadline=None, max_examples=100)
def test_a_model_that_sees_only_its_margin_gives_what_it_gives_unwindowed(shape, form):
    """A moving average over the margin: windowed equals whole, exactly as long, without click or drift."""
    frames, window, overlap, fade = shape
    rate, width = form
    rng = np.random.default_rng(frames)
    signal = rng.normal(size=(rate * frames, width) if width else rate * frames).astype(np.float32)
    reach = rate * ((overlap - fade) // 2)

    def model(x):
        padded = np.pad(x, [(reach, reach)] + [(0, 0)] * (x.ndim - 1))
        return padded[: len(x)] + 0.5 * padded[2 * reach :] if reach else x

    windows = plan(*shape)
    outputs = [model(signal[rate * w.start : rate * w.stop]) for w in windows]
    joined = np.concatenate(list(cross_fade(windows, outputs, rate)))
    np.testing.assert_array_equal(joined, model(signal))


def test_padding_behind_a_window_is_dropped():
    windows = plan(100, 60, 20, 4)
    outputs = [np.pad(np.arange(4 * w.start, 4 * w.stop, dtype=np.float32), (0, 99)) for w in windows]
    np.testing.assert_array_equal(np.concatenate(list(cross_fade(windows, outputs, 4))), np.arange(400))


def test_windows_that_disagree_meet_in_a_smooth_ramp():
    windows = plan(100, 60, 20, 4)
    outputs = [np.full(640 * 60, value, np.float32) for value in (0.0, 1.0)]
    joined = np.concatenate(list(cross_fade(windows, outputs, 640)))
    steps = np.diff(joined)
    assert joined[0] == 0 and joined[-1] == 1 and len(joined) == 64000
    assert steps.min() >= -1e-7 and steps.max() < 1.01 / (4 * 640)
    assert np.flatnonzero(steps > 1e-6)[0] == 48 * 640 - 1


def test_pieces_come_while_windows_go_in():
    """Bounded memory: a piece is handed out for each window before the next is asked for."""
    windows, asked = plan(1000, 75, 25, 4), 0

    def outputs():
        nonlocal asked
        for _ in windows:
            asked += 1
            yield np.zeros(300, np.float32)

    pieces = cross_fade(windows, outputs(), 4)
    next(pieces)
    assert asked == 1


def test_ramp_sums_to_one_with_its_mirror():
    np.testing.assert_allclose(ramp(7) + ramp(7)[::-1], 1, atol=1e-7)
    np.testing.assert_allclose(ramp(2), [0.25, 0.75])


def test_one_output_a_window():
    with pytest.raises(ValueError, match="zip"):
        list(cross_fade(plan(100, 60, 20, 4), [np.zeros(240)], 4))
