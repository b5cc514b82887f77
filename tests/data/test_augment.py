import collections

import numpy as np
import pytest

from v2s_jax.data.augment import NO_AUGMENT, Augment, Draw, change, cut_mouth, draw, draw_spans
from v2s_jax.errors import V2SError
from v2s_jax.media.degrade import parse


def positions(n_frames: int = 3) -> np.ndarray:
    """Frames in which every pixel tells its place (coarsely enough for uint8)."""
    y, x = np.mgrid[:96, :96]
    return np.broadcast_to(((y * 96 + x) % 251).astype(np.uint8), (n_frames, 96, 96)).copy()


def cropped(augment: Augment, seed: int, n_frames: int = 3) -> np.ndarray:
    out = np.zeros((n_frames, 88, 88), np.uint8)
    cut_mouth(positions(n_frames), draw(augment, n_frames, np.random.default_rng(seed)), out)
    return out


def changed(frames: np.ndarray, drawn: Draw) -> np.ndarray:
    out = np.zeros_like(frames)
    change(frames, drawn, out)
    return out


def test_without_augmentation_the_centre_is_cut():
    np.testing.assert_array_equal(cropped(NO_AUGMENT, 0), positions()[:, 4:92, 4:92])
    assert draw(NO_AUGMENT, 100, np.random.default_rng(0)) == Draw()


def test_crops_reach_every_place_and_are_the_same_for_all_frames():
    frames = positions()
    windows = {
        (top, left): frames[0, top : top + 88, left : left + 88].tobytes() for top in range(9) for left in range(9)
    }
    places = {content: place for place, content in windows.items()}
    seen = set()
    for seed in range(600):
        out = cropped(Augment(flip=0, mask_seconds=0), seed)
        assert (out == out[0]).all()
        seen.add(places[out[0].tobytes()])
    assert len(seen) == 81


def test_half_of_the_clips_are_mirrored():
    plain = positions()[:, 4:92, 4:92]
    flips = 0
    for seed in range(400):
        out = cropped(Augment(crop=False, mask_seconds=0), seed)
        mirrored = (out == plain[:, :, ::-1]).all()
        assert mirrored or (out == plain).all()
        flips += mirrored
    assert 150 < flips < 250


def test_hidden_spans_show_the_mean_frame_and_stay_short():
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(50):
        frames = rng.integers(0, 256, (75, 4, 4)).astype(np.uint8)
        hidden = (changed(frames, Draw(hidden=draw_spans(75, 0.4, rng))) != frames).any((1, 2))
        mean = (frames.sum(0, dtype=np.uint32) // 75).astype(np.uint8)
        out = changed(frames, Draw(hidden=tuple((t, t + 1) for t in np.flatnonzero(hidden).tolist())))
        assert (out[hidden] == mean).all() and (out[~hidden] == frames[~hidden]).all()
        for second in range(3):
            span = np.flatnonzero(hidden[25 * second : 25 * second + 25])
            assert len(span) <= 10 and (not len(span) or span[-1] - span[0] == len(span) - 1)
        counts.append(hidden.mean())
    assert 0.12 < np.mean(counts) < 0.28  # a mean of 0.2 s in every second


def test_spans_of_a_clip_shorter_than_a_second_stay_inside():
    for seed in range(50):
        for start, stop in draw_spans(3, 1.0, np.random.default_rng(seed)):
            assert 0 <= start < stop <= 3


def test_mouth_and_expression_are_mirrored_and_hidden_together():
    """A face that is the mouth's own picture, half as large, stays that."""
    augment = Augment(crop=False, flip=0.5, mask_seconds=0.4)
    rng = np.random.default_rng(3)
    face = rng.integers(0, 256, (60, 44, 44)).astype(np.uint8)
    mouth = np.zeros((60, 96, 96), np.uint8)
    mouth[:, 4:92, 4:92] = face.repeat(2, 1).repeat(2, 2)
    seen = set()
    for seed in range(20):
        drawn = draw(augment, 60, np.random.default_rng(seed))
        out = np.zeros((60, 88, 88), np.uint8)
        cut_mouth(mouth, drawn, out)
        np.testing.assert_array_equal(changed(face, drawn), out[:, ::2, ::2])
        seen.add((drawn.flip, bool(drawn.hidden)))
    assert seen == {(True, True), (False, True)}


def test_a_random_place_is_the_mouths_alone():
    frames = positions()
    moved = Draw(top=0, left=8)
    np.testing.assert_array_equal(changed(frames, moved), frames)
    out = np.zeros((3, 88, 88), np.uint8)
    cut_mouth(frames, moved, out)
    np.testing.assert_array_equal(out, frames[:, :88, 8:])


def test_a_share_of_the_clips_gets_worse_in_one_way_up_to_its_amount():
    augment = Augment(degraded=0.25, degrade="blur=4+drop=0.5")
    rng = np.random.default_rng(0)
    drawn = [draw(augment, 75, rng).worse for _ in range(800)]
    ways = collections.Counter(worse.partition("=")[0] for worse in drawn)
    assert ways[""] > 550 and ways["blur"] > 70 and ways["drop"] > 70 and sum(ways.values()) == 800
    for name, strongest in (("blur", 4), ("drop", 0.5)):
        amounts = [parse(worse)[0][1] for worse in drawn if worse.startswith(name)]
        assert max(amounts) <= strongest and min(amounts) < 0.1 * strongest < 0.9 * strongest < max(amounts)


def test_worse_crops_are_cut_and_mirrored_like_others_and_the_same_for_the_same_draw():
    frames = np.random.default_rng(0).integers(0, 256, (8, 96, 96)).astype(np.uint8)
    one, again = np.zeros((2, 8, 88, 88), np.uint8)
    drawn = Draw(top=1, left=2, flip=True, worse="occlude=0.25", seed=3)
    cut_mouth(frames, drawn, one)
    cut_mouth(frames, drawn, again)
    np.testing.assert_array_equal(one, again)
    covered = (one != frames[:, 1:89, 2:90][:, :, ::-1]).mean()
    assert 0.15 < covered < 0.32  # 48x48 of 88x88 pixels, or what of them lies in the cut


@pytest.mark.parametrize("ways", ["smear=3", "blur", "drop=2"])
def test_ways_that_there_are_not_are_refused(ways):
    with pytest.raises(V2SError, match=r"degrade"):
        Augment(degrade=ways)
