import dlib
import numpy as np
import pytest

from v2s_jax.media import detect
from v2s_jax.media.align import FROM_FIVE
from v2s_jax.media.detect import FaceDetector, clearly_a_face


def resized(picture, scale):
    return dlib.resize_image(picture, rows=round(picture.shape[0] * scale), cols=round(picture.shape[1] * scale))


def placed(picture, height, width, top, left):
    canvas = np.full((height, width, 3), 110, np.uint8)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def test_landmarks_are_where_the_recipe_takes_them_from(faces):
    """Eye corners from left to right, then the nose below and between them."""
    (found,) = FaceDetector()(faces[0][:1])[0:1]
    x, y = found[0].landmarks[list(FROM_FIVE)].T
    assert (np.diff(x[:4]) > 5).all()
    assert x[1] < x[4] < x[2] and y[4] > y[:4].max() + 10
    left, top, right, bottom = found[0].box
    assert left < x.min() and x.max() < right and top < y.min() and y.max() < bottom


def test_68_points_agree_with_5(faces):
    five = FaceDetector()(faces[0][:1])[0][0].landmarks[list(FROM_FIVE)]
    all68 = FaceDetector(68)(faces[0][:1])[0][0].landmarks
    assert all68.shape == (68, 2)
    assert np.abs(all68[[36, 39, 42, 45, 33]] - five).max() < 12


@pytest.mark.parametrize("scale", [0.4, 0.5, 1.0, 2.0, 5.0])
def test_small_and_large_faces_are_seen(faces, scale):
    picture = resized(faces[0][0], scale)
    reference = FaceDetector()(faces[0][:1])[0][0]
    (found,) = FaceDetector()([picture])
    assert len(found) == 1
    centre = found[0].landmarks.mean(axis=0) / scale
    assert np.abs(centre - reference.landmarks.mean(axis=0)).max() < 8


def test_a_small_face_in_a_large_picture_is_seen_at_the_next_sizes(faces):
    pictures = [placed(resized(face, 0.9), 1080, 1920, 500, 900) for face in faces[0][:4]]
    detector = FaceDetector()
    found = detector(pictures)
    assert all(len(faces_of) == 1 for faces_of in found)
    x, y = found[0][0].landmarks.mean(axis=0)
    assert 900 < x < 900 + 324 and 500 < y < 500 + 260


def test_a_followed_face_is_found_again_and_a_second_one_noticed(faces):
    one = [placed(face, 288, 720, 0, 0) for face in faces[0][:6]]
    two = [np.concatenate([left, right], axis=1) for left, right in zip(faces[0][6:16], faces[1], strict=False)]
    counts = [len(found) for found in FaceDetector()(one + two)]
    assert counts[:6] == [1] * 6
    # The whole picture is searched every fifth time.
    assert counts[6 + detect._LOOK_ABOUT :] == [2] * (10 - detect._LOOK_ABOUT)


def test_following_gives_the_same_faces_as_searching(faces, monkeypatch):
    followed = FaceDetector()(faces[0][:10])
    monkeypatch.setattr(detect, "_LOOK_ABOUT", 1)
    searched = FaceDetector()(faces[0][:10])
    for a, b in zip(followed, searched, strict=True):
        assert np.abs(a[0].landmarks - b[0].landmarks).mean() < 4


def test_the_stronger_detector_steps_in_and_gives_up(faces, backdrop, monkeypatch):
    """Its cost is bounded: without any success it rests after twelve looks."""
    looks = []
    real = detect.cnn_detector()
    monkeypatch.setattr(detect, "cnn_detector", lambda: lambda picture, up: looks.append(0) or real(picture, up))
    monkeypatch.setattr(FaceDetector, "_hog", lambda *_: [])
    detector = FaceDetector()
    small = [resized(face, 0.7) for face in faces[0][:16]]
    found = detector(small)
    assert sum(bool(faces_of) for faces_of in found) == 2 and len(looks) == 2
    empty = resized(backdrop, 0.3)
    for number in range(20):
        detector([empty + np.uint8(number % 2) for _ in range(8)])
    assert len(looks) == 2 + detect._CNN_CREDIT


def test_nothing_is_found_where_nothing_is(backdrop):
    assert FaceDetector()([backdrop] * 3) == [[], [], []]
    assert not clearly_a_face(backdrop[:150, :150])


def test_a_face_is_clearly_one(faces):
    found = FaceDetector()(faces[0][:1])[0][0]
    assert clearly_a_face(faces[0][0][detect.around(faces[0][0], found.box)])


def test_sizes_start_cheap_and_end_fine():
    assert detect._scales(360) == [1.0, 2.0]
    assert detect._scales(640) == [1.0, 2.0]
    assert detect._scales(1280) == [0.5, 1.0]
    assert detect._scales(1920) == pytest.approx([1 / 3, 2 / 3, 1.0])
