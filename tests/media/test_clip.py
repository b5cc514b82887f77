import dataclasses
import tracemalloc

import numpy as np
import pytest

from v2s_jax.constants import FACE_CROPS
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.clip import load_clip
from v2s_jax.media.limits import Limits
from v2s_jax.media.video import read_frames


def alike(a, b):
    """Correlation of two stacks of mouth crops, frame by frame."""
    a, b = (x.reshape(len(x), -1).astype(float) for x in (a, b))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))


@pytest.fixture(scope="module")
def talker(talker_clip):
    return load_clip(talker_clip)


@pytest.fixture(scope="module")
def plain(make_clip, faces):
    """The first person alone, as a reference for the harder clips."""
    return load_clip(make_clip("plain_face.mp4", faces[0]))


def test_a_clip_has_everything(talker):
    assert talker.mouth.shape == (75, 96, 96) and talker.mouth.dtype == np.uint8
    assert talker.faces.shape == (FACE_CROPS, 112, 112, 3) and talker.faces.dtype == np.uint8
    assert talker.expression.shape == (75, 48, 48) and talker.expression.dtype == np.uint8
    assert talker.audio.shape == (75 * 640,) and talker.audio.dtype == np.float32
    assert talker.boxes.shape == (75, 4) and talker.detected.shape == (75,)
    assert talker.coverage == talker.detected.mean() > 0.95
    assert talker.confidence > 0.5 and talker.n_faces == 1 and talker.warnings == ()
    assert np.abs(talker.audio).max() > 0.05


def test_the_mouth_is_in_the_middle_and_moves(talker):
    """Between frames most of the change is around the middle of the crop, where the lips are."""
    change = np.abs(np.diff(talker.mouth.astype(float), axis=0)).mean(axis=0)
    assert change[24:72, 24:72].mean() > 2 * np.concatenate([change[:12], change[-12:]]).mean()


def test_crops_are_steady(talker):
    silent = talker.mouth[:4].astype(float)
    assert np.abs(np.diff(silent, axis=0)).mean() < 6


def test_face_crops_show_the_face_upright(talker):
    """The eyes are darker than the forehead above and the cheeks below."""
    grey = talker.faces.mean(axis=(0, 3))
    eyes = [grey[46:58, 30:46].mean(), grey[46:58, 66:82].mean()]
    assert max(eyes) < grey[66:80, 30:82].mean()


def test_expression_crops_show_the_same_as_face_crops_in_every_frame(talker):
    grey = talker.faces.mean(axis=(0, 3))
    columns = (np.arange(48) + 0.5) * 112 / 48 - 0.5
    small = grey[np.round(columns).astype(int)][:, np.round(columns).astype(int)]
    assert alike(talker.expression, np.broadcast_to(small, (75, 48, 48))).min() > 0.9


def test_expression_crops_are_steady_and_move_at_the_mouth(talker):
    change = np.abs(np.diff(talker.expression.astype(float), axis=0)).mean(axis=0)
    assert change[:4].mean() < 6
    assert change[36:44, 18:30].mean() > 2 * change[26:34, 18:30].mean()  # the mouth against the nose


def test_68_points_give_nearly_the_same_crop(talker, talker_clip):
    exact = load_clip(talker_clip, landmarks=68)
    assert alike(exact.mouth, talker.mouth).mean() > 0.5


@pytest.mark.parametrize("fps", [29.97, 15, 60])
def test_odd_frame_rates(make_clip, faces, plain, fps):
    times = np.arange(round(len(faces[0]) * fps / 25)) / fps
    frames = [faces[0][min(round(t * 25), len(faces[0]) - 1)] for t in times]
    clip = load_clip(make_clip(f"face{fps}.mp4", frames, fps=fps))
    assert len(clip.mouth) == pytest.approx(len(faces[0]), abs=1)
    assert clip.coverage > 0.9
    shorter = min(len(clip.mouth), len(plain.mouth))
    assert np.median(alike(clip.mouth[:shorter], plain.mouth[:shorter])) > 0.9


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotated_recordings_are_read_upright(make_clip, faces, plain, turn):
    stored = [np.rot90(face, -turn // 90) for face in faces[0][:12]]
    clip = load_clip(make_clip(f"phone{turn}.mp4", stored, rotation=(turn, False)))
    assert (clip.info.width, clip.info.height) == (360, 288)
    assert alike(clip.mouth[:1], plain.mouth[:1])[0] > 0.9


def test_portrait(make_clip, faces):
    frames = [np.concatenate([np.full((300, 360, 3), 90, np.uint8), face]) for face in faces[0][:10]]
    clip = load_clip(make_clip("portrait_face.mp4", frames))
    assert clip.coverage > 0.9 and clip.boxes[:, 1].min() > 300


def test_8k(make_clip, faces, plain):
    frames = [np.full((4320, 7680, 3), 100, np.uint8) for _ in range(2)]
    for frame, face in zip(frames, faces[0], strict=False):
        frame[200 : 200 + 288 * 12, 1000 : 1000 + 360 * 12] = np.repeat(np.repeat(face, 12, axis=0), 12, axis=1)
    clip = load_clip(make_clip("8k.mp4", frames))
    assert clip.mouth.shape == (2, 96, 96) and clip.coverage == 1
    assert (clip.info.width, clip.info.height) == (7680, 4320)
    assert 80 < (clip.boxes[0, 2] - clip.boxes[0, 0]) / 12 < 180
    assert alike(clip.mouth[:1], plain.mouth[:1])[0] > 0.8


def test_two_people_are_told_apart(make_clip, faces, plain):
    frames = [np.concatenate([left, right], axis=1) for left, right in zip(*faces, strict=True)][:15]
    path = make_clip("two.mp4", frames)
    left, right, chosen = load_clip(path, face=1), load_clip(path, face=2), load_clip(path)
    alone = load_clip(make_clip("second.mp4", faces[1][:15]))
    assert left.n_faces == right.n_faces == 2
    assert left.boxes[:, 2].max() < 360 < right.boxes[:, 0].min()
    assert np.median(alike(left.mouth, plain.mouth[:15])) > 0.9
    assert np.median(alike(right.mouth, alone.mouth)) > 0.9
    assert any(np.array_equal(chosen.mouth, one.mouth) for one in (left, right))
    assert any("2 people are seen" in warning for warning in chosen.warnings) and left.warnings == ()
    for absent in (0, 3):
        with pytest.raises(BadClip, match="2 can be seen; count from 1"):
            load_clip(path, face=absent)


def test_the_larger_person_is_the_default(make_clip, faces):
    import dlib

    small = [dlib.resize_image(face, rows=202, cols=252) for face in faces[1][:12]]
    frames = [np.full((288, 640, 3), 110, np.uint8) for _ in small]
    for frame, large, little in zip(frames, faces[0], small, strict=False):
        frame[:, :360], frame[40:242, 370:622] = large, little
    clip = load_clip(make_clip("large_and_small.mp4", frames))
    assert clip.n_faces == 2 and clip.boxes[:, 2].max() < 360


def test_a_face_that_leaves_and_returns_elsewhere_is_one(make_clip, faces):
    """Away for longer than a track waits, and back on the other side."""
    import dlib

    frames = []
    for face in faces[0][:30]:
        frames.append(np.full((202, 504, 3), 110, np.uint8))
        place = slice(0, 252) if len(frames) <= 12 else slice(252, 504)
        frames[-1][:, place] = dlib.resize_image(face, rows=202, cols=252)
    frames[12:12] = [np.full((202, 504, 3), 110, np.uint8)] * 30
    clip = load_clip(make_clip("returns.mp4", frames))
    assert len(clip.mouth) == 60 and clip.n_faces == 1
    assert clip.detected[:12].mean() > 0.9 and clip.detected[42:].mean() > 0.9
    assert not clip.detected[13:41].any()
    assert clip.coverage == pytest.approx(0.5, abs=0.05)
    # Between the two places the box travels in a straight line.
    assert clip.boxes[5, 2] < 252 < clip.boxes[50, 0]
    assert (np.diff(clip.boxes[13:41, 0]) > 0).all()


def test_missed_frames_keep_the_timeline(make_clip, faces, backdrop):
    frames = [backdrop if 10 <= i < 14 else face for i, face in enumerate(faces[0][:25])]
    clip = load_clip(make_clip("blink.mp4", frames))
    assert len(clip.mouth) == 25
    assert clip.detected.tolist() == [not 10 <= i < 14 for i in range(25)]


def test_no_sound_is_the_normal_case(plain):
    assert plain.audio is None and not plain.info.has_audio


def test_sound_can_be_left_out(talker_clip):
    clip = load_clip(talker_clip, audio=False)
    assert clip.audio is None and clip.info.has_audio


def test_a_truncated_file_is_read_as_far_as_it_goes(make_clip, faces):
    whole = make_clip("tocut.mp4", faces[0], options={"movflags": "faststart"}, encoder={"g": "5", "crf": "15"})
    cut = whole.with_name("cut_face.mp4")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clip = load_clip(cut)
    assert 10 < len(clip.mouth) < 30
    assert any("the readable part is used" in warning for warning in clip.warnings)


def test_clips_without_a_usable_face_are_refused(make_clip, faces, backdrop):
    import dlib

    tiny = [dlib.resize_image(face, rows=44, cols=54) for face in faces[0][:5]]
    for path in (make_clip("empty_room.mp4", [backdrop] * 5), make_clip("tiny.mp4", tiny)):
        with pytest.raises(BadClip, match="no face was found in 5 frames.*at least about 40 pixels") as refusal:
            load_clip(path)
        assert str(path) in str(refusal.value)


def test_noise_is_no_face(make_clip):
    noise = np.random.default_rng(0).integers(0, 256, (6, 144, 176, 3)).astype(np.uint8)
    with pytest.raises(BadClip, match="no face"):
        load_clip(make_clip("noise.mp4", list(noise)))


def test_limits_and_missing_files(talker_clip, tmp_path):
    with pytest.raises(BadClip, match="limit of 2 seconds"):
        load_clip(talker_clip, limits=Limits(max_seconds=2))
    with pytest.raises(BadClip, match="no such file"):
        load_clip(tmp_path / "none.mp4")
    assert issubclass(BadClip, V2SError)
    assert dataclasses.is_dataclass(Limits) and Limits().max_seconds >= 600


@pytest.mark.slow
def test_memory_does_not_grow_with_length(make_clip, faces):
    """All pictures together would be 19 MB; what is held is the crops and a second of pictures."""
    import dlib

    small = [dlib.resize_image(face, rows=180, cols=216) for face in faces[0]]
    path = make_clip("long.mp4", ((small + small[::-1]) * 5)[:160])
    load_clip(make_clip("warm.mp4", small[:2]))  # the models are loaded
    tracemalloc.start()
    clip = load_clip(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    picture = 180 * 216 * 3
    assert len(clip.mouth) == 160 and clip.coverage > 0.9
    assert peak < clip.mouth.nbytes + clip.expression.nbytes + 35 * picture + 3e6 < 160 * picture * 0.6


def test_the_default_reads_frames_like_the_crops(talker_clip, talker):
    assert sum(1 for _ in read_frames(talker_clip)) == len(talker.mouth)
