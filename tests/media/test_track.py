import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.media.detect import Face
from v2s_jax.media.track import Track, Tracker, _merged, overlap, people, spread

# A slope looks the same wherever a face is put on it.
SLOPE = np.add.outer(np.arange(120) * 0.5, np.arange(400) * 0.4).astype(np.uint8)
PICTURE = np.repeat(SLOPE[..., None], 3, axis=2)


def face(x, y=20, size=60, score=1.5):
    """A face whose five landmarks are in dlib's order and places."""
    shape = np.array([[0.8, 0.4], [0.6, 0.4], [0.2, 0.4], [0.4, 0.4], [0.5, 0.65]])
    box = np.array([x, y, x + size, y + size], float)
    return Face(box, score, shape * size + [x, y])


def tracked(*frames, pictures=None):
    tracker = Tracker()
    for number, found in enumerate(frames):
        tracker.add(number, found, PICTURE if pictures is None else pictures[number])
    return tracker.tracks


boxes = st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50)).map(
    lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]])
)


@settings(max_examples=50, deadline=None)
@given(boxes, boxes)
def test_overlap_is_symmetric_and_between_0_and_1(a, b):
    assert overlap(a[None], a[None])[0, 0] == pytest.approx(1)
    value = overlap(a[None], b[None])[0, 0]
    assert 0 <= value <= 1 and value == pytest.approx(overlap(b[None], a[None])[0, 0])


def test_overlap_of_known_boxes():
    assert overlap(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).tolist() == [[1 / 3, 0]]


def test_two_faces_side_by_side_stay_apart():
    """Whatever order the detector names them in."""
    frames = [[face(20 + t), face(250 - t)][:: 1 if t % 2 else -1] for t in range(30)]
    tracks = sorted(tracked(*frames), key=lambda track: track.mean_x)
    assert [len(track.frames) for track in tracks] == [30, 30]
    assert tracks[0].boxes[:, 0].max() < 60 and tracks[1].boxes[:, 0].min() > 200


def test_a_missed_frame_does_not_end_a_track():
    frames = [[face(20)] if t % 7 else [] for t in range(40)]
    (track,) = tracked(*frames)
    assert len(track.frames) == sum(bool(t % 7) for t in range(40))


def test_a_cut_to_someone_else_in_the_same_place_starts_a_new_track():
    frames = [[face(20)]] * 30
    pictures = [PICTURE if t < 18 else PICTURE[:, ::-1] for t in range(30)]
    assert [len(track.frames) for track in tracked(*frames, pictures=pictures)] == [18, 12]


def test_false_alarms_are_dropped():
    """A flicker elsewhere, and a weak steady pattern that the stronger detector does not confirm."""
    frames = [[face(20)] + ([face(300, score=0.9)] if t == 11 else []) + [face(200, score=-0.2)] for t in range(30)]
    seen = people(tracked(*frames), 30)
    assert len(seen) == 1 and seen[0].mean_x == pytest.approx(50)


def test_flickers_do_not_pile_up():
    frames = [[face(20)] + ([face(300)] if t % 30 == 0 else []) for t in range(200)]
    assert len(tracked(*frames)) <= 2


def test_a_clear_face_in_a_clip_of_one_frame_counts():
    assert len(people(tracked([face(20)]), 1)) == 1


def test_weight_prefers_long_large_clear_and_steady():
    def weight(**change):
        return tracked(*[[face(**{"x": 20} | {k: v(t) for k, v in change.items()})] for t in range(30)])[0].weight()

    plain = weight()
    assert weight(size=lambda t: 80) > plain
    assert weight(score=lambda t: 0.3) < plain
    assert weight(x=lambda t: 20 + 8 * (t % 2)) < plain
    assert tracked(*[[face(20)] for _ in range(10)])[0].weight() < plain


@pytest.mark.parametrize(("length", "count"), [(40, 4), (3, 4), (1, 4), (9, 2)])
def test_identity_frames_are_spread_and_clear(length, count):
    (track,) = tracked(*[[face(20, score=1.0 + (t % 10 == 3))] for t in range(length)])
    chosen = spread(track, count)
    assert chosen.shape == (count,) and set(chosen) <= set(range(length))
    if length == 40:
        assert chosen.tolist() == [3, 13, 23, 33]


def test_joined_tracks_are_in_order_of_time():
    """A short piece seen in a gap of a long one, with all its detections' figures along."""
    long, short = Track(), Track()
    for frame in (0, 1, 2, 40, 41):
        long.add(frame, face(frame), np.ones(1), PICTURE)
    for frame in (20, 21):
        short.add(frame, face(frame, score=0.7), np.ones(1), PICTURE)
    joined = _merged([long, short])
    assert joined.frames == [0, 1, 2, 20, 21, 40, 41]
    assert joined.boxes[:, 0].tolist() == joined.frames
    assert joined.scores.tolist() == [1.5] * 3 + [0.7] * 2 + [1.5] * 2
    assert joined.landmarks.shape == (7, 5, 2)
