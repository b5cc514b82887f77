import numpy as np

from v2s_jax.data.augment import NO_AUGMENT, Augment, cut, hide_spans


def positions(n_frames: int = 3) -> np.ndarray:
    """Frames in which every pixel tells its place (coarsely enough for uint8)."""
    y, x = np.mgrid[:96, :96]
    return np.broadcast_to(((y * 96 + x) % 251).astype(np.uint8), (n_frames, 96, 96)).copy()


def cropped(augment: Augment, seed: int, n_frames: int = 3) -> np.ndarray:
    out = np.zeros((n_frames, 88, 88), np.uint8)
    cut(positions(n_frames), augment, np.random.default_rng(seed), out)
    return out


def test_without_augmentation_the_centre_is_cut():
    np.testing.assert_array_equal(cropped(NO_AUGMENT, 0), positions()[:, 4:92, 4:92])


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
        before = frames.copy()
        hide_spans(frames, 0.4, rng)
        hidden = (frames != before).any((1, 2))
        mean = (before.sum(0, dtype=np.uint32) // 75).astype(np.uint8)
        assert (frames[hidden] == mean).all()
        for second in range(3):
            span = np.flatnonzero(hidden[25 * second : 25 * second + 25])
            assert len(span) <= 10 and (not len(span) or span[-1] - span[0] == len(span) - 1)
        counts.append(hidden.mean())
    assert 0.12 < np.mean(counts) < 0.28  # a mean of 0.2 s in every second


def test_spans_of_a_clip_shorter_than_a_second_stay_inside():
    for seed in range(50):
        frames = np.random.default_rng(seed).integers(0, 256, (3, 4, 4)).astype(np.uint8)
        hide_spans(frames, 1.0, np.random.default_rng(seed))
        assert frames.shape == (3, 4, 4)
