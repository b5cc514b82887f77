"""The drawn faces pass for faces: the detector finds each, landmarks land where they were drawn, lips follow speech."""

import itertools

import numpy as np
import pytest

from data_pipelines.talker.head import CANVAS
from data_pipelines.talker.identities import HELD_OUT, N_IDENTITIES, identity
from data_pipelines.talker.mouth import MouthShape
from data_pipelines.talker.render import perform
from data_pipelines.talker.scene import Light, Scene
from data_pipelines.talker.visemes import TimedPhoneme, mouth_track, shapes_of
from v2s_jax.errors import V2SError
from v2s_jax.media.dlib_models import hog_detector, landmark_model

STILL = Scene(sway=0.0, roll=0.0, zoom=0.0, blinks=1e-6)


@pytest.mark.parametrize("number", range(N_IDENTITIES))
def test_detector_and_landmarks_find_every_identity(number):
    who = identity(number)
    frames = itertools.islice(perform(number, "lgwp9s", scene=STILL).frames, 4, 14, 8)
    for frame in frames:
        boxes, scores, _ = hog_detector().run(frame, 0, -0.4)
        assert scores and scores[0] > 0.3
        box = boxes[0]  # the highest score first
        centre = np.array(STILL.centre)
        assert box.left() < centre[0] < box.right() and box.top() < centre[1] + 30 < box.bottom()
        points = [(point.x, point.y) for point in landmark_model(5)(frame, box).parts()]
        found = (np.array(points) - centre) / STILL.scale
        half, eye = 9.0, who.eye_distance
        drawn = [(eye + half, 0), (eye - half, 0), (-eye - half, 0), (-eye + half, 0), (0, who.nose_length + 2)]
        assert np.abs(found - drawn).max() < 7, "eye corners and nose base, in units of the face (105 wide)"


@pytest.mark.parametrize(
    "scene", [Scene(light=Light(azimuth=-60, ambient=0.3)), Scene(noise=8.0), Scene(scale=0.9, roll=8.0)]
)
def test_detector_bears_harder_scenes(scene):
    frames = itertools.islice(perform(8, "lgwp9s", scene=scene).frames, 0, 60, 20)
    assert all(hog_detector().run(frame, 0, -0.4)[1][0] > 0 for frame in frames)


def test_identities_look_different():
    faces = [next(perform(number, "lgwp9s", scene=STILL).frames) for number in range(0, N_IDENTITIES, 5)]
    for one, other in itertools.combinations(faces, 2):
        assert np.abs(one.astype(int) - other).mean() > 5


def test_held_out_are_both_sexes():
    assert len(HELD_OUT) == 4
    assert {identity(number).female for number in HELD_OUT} == {True, False}


def test_unknown_identity_is_refused():
    with pytest.raises(V2SError, match="choose one of 0"):
        identity(N_IDENTITIES)


def test_other_picture_sizes_keep_the_face_in_view():
    for size in ((288, 360), (640, 360)):
        frame = next(perform(3, "lgwp9s", size=size, scene=STILL).frames)
        assert frame.shape == (size[1], size[0], 3)
        boxes, _, _ = hog_detector().run(frame, 0, -0.4)
        assert boxes[0].left() < size[0] / 2 < boxes[0].right()


def track_of(*symbols, length=0.12):
    edges = np.arange(len(symbols) + 1) * length
    phonemes = [TimedPhoneme(s, a, b, 2) for s, a, b in zip(symbols, edges[:-1], edges[1:], strict=True)]
    return mouth_track(phonemes, edges[:-1] + length / 2)


def test_lips_close_on_bilabials_and_open_on_vowels():
    opening = track_of("_", "p", "A:", "m", "aI", "b", "i:", "_")[:, 0]
    assert opening[[1, 3, 5]].max() < 1.0 < 3.0 < opening[[2, 4, 6]].min()


def test_rounding_is_anticipated():
    columns = list(MouthShape.__dataclass_fields__)
    width = columns.index("width")
    assert track_of("_", "s", "u:")[1, width] < track_of("_", "s", "i:")[1, width] - 0.1


def test_classes_of_phonemes_have_their_own_mouths():
    shapes = {
        shapes_of(symbol)[0][1] for symbol in ("p", "f", "T", "t", "l", "s", "S", "k", "r", "w", "i:", "a", "A:", "u:")
    }
    assert len(shapes) == 14
    assert shapes_of("b") == shapes_of("p") and shapes_of("z") == shapes_of("s")


def test_unknown_phoneme_is_refused():
    with pytest.raises(V2SError, match="English voice"):
        shapes_of("<")


def test_mouth_of_the_picture_opens_with_the_track():
    played = perform(0, "bbaf2n", scene=STILL)
    frames = np.stack(list(itertools.islice(played.frames, 45))).astype(float).mean(axis=-1)
    row, column = round(STILL.centre[1] + identity(0).mouth_y * STILL.scale), round(STILL.centre[0])
    mouth = frames[:, row - 8 : row + 16, column - 12 : column + 13]
    change = np.abs(mouth - mouth[0]).mean(axis=(1, 2))
    assert np.corrcoef(change, played.track[:45, 0])[0, 1] > 0.6


def test_canvas_covers_the_head():
    x, y = CANVAS.grid()
    assert x.min() < -80 and x.max() > 80 and y.min() < -105 and y.max() > 130
