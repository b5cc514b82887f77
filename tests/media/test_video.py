import fractions
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.errors import BadClip
from v2s_jax.media import video
from v2s_jax.media.container import Clock
from v2s_jax.media.limits import Limits
from v2s_jax.media.video import Reading, probe, read_frames


@settings(max_examples=60, deadline=None)
@given(
    start=st.floats(-5, 100),
    steps=st.lists(st.floats(0.001, 0.3), min_size=1, max_size=40),
)
def test_each_tick_shows_the_nearest_picture_none_early(start, steps):
    times = start + np.concatenate([[0], np.cumsum(steps[:-1])])
    timed = [(float(t), steps[-1], i) for i, t in enumerate(times)]
    reading = Reading()
    shown = list(video._at_ticks(iter(timed), Path("clip.mp4"), Limits(), reading))
    duration = float(times[-1] - start + steps[-1])
    assert reading.end == pytest.approx(duration)
    assert abs(len(shown) - max(1, duration * 25)) < 1
    assert shown == sorted(shown)
    for tick, index in enumerate(shown):
        now, best = start + tick / 25, np.abs(times - (start + tick / 25))
        assert times[index] <= now + 0.02 + 1e-5
        is_nearest = abs(times[index] - now) <= best.min() + 1e-5
        later = times[index + 1] if index + 1 < len(times) else np.inf
        assert is_nearest or later > now + 0.02 - 1e-5


@pytest.mark.parametrize("fps", [25, 29.97, 15, 60, 10, 23.976, 50])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_any_frame_rate_becomes_25(make_clip, number_pictures, read_number, fps, suffix):
    count = min(round(fps * 2), 120)
    path = make_clip(f"rate{fps}.{suffix}", number_pictures(count), fps=fps)
    shown = [read_number(picture) for picture in read_frames(path)]
    assert probe(path).fps == pytest.approx(fps, rel=1e-2)
    assert len(shown) == pytest.approx(count / fps * 25, abs=0.6)
    for tick, number in enumerate(shown):
        assert abs(number / fps - tick / 25) <= 0.5 / min(fps, 25) + 0.5 / fps + 0.002


def test_pictures_of_25_fps_pass_one_by_one(make_clip, number_pictures, read_number):
    for suffix in ("mp4", "mkv", "avi", "mov", "ts"):
        path = make_clip(f"plain.{suffix}", number_pictures(30))
        assert [read_number(picture) for picture in read_frames(path)] == list(range(30)), suffix
    path = make_clip("plain.mpg", number_pictures(30), codec="mpeg1video")
    assert [read_number(picture) for picture in read_frames(path)] == list(range(30))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_timestamps(make_clip, number_pictures, read_number, suffix):
    times = [0, 0.033, 0.066, 0.1, 0.2, 0.24, 0.5, 0.51, 0.52, 0.6, 1.0, 1.04]
    path = make_clip(f"variable.{suffix}", number_pictures(len(times)), times=times)
    shown = [read_number(picture) for picture in read_frames(path)]
    # At 0.08 s 0.066 is nearer than 0.1; at 0.16 s 0.2 is nearer but too early; from 0.24 on picture 5 stays until 0.5.
    assert shown[:13] == [0, 1, 2, 3, 3, 4, 5, 5, 5, 5, 5, 5, 5]
    assert shown[13] == 8 and shown[25] == 10 and shown[26] == 11


def test_a_late_first_picture_is_time_zero(make_clip, number_pictures, read_number):
    path = make_clip("late.mkv", number_pictures(10), times=[1.5 + i / 25 for i in range(10)])
    assert [read_number(picture) for picture in read_frames(path)] == list(range(10))
    assert probe(path).start == pytest.approx(1.5, abs=2e-3)


@pytest.mark.parametrize(("turn", "flip"), list(itertools.product([0, 90, 180, 270], [False, True])))
def test_rotation_and_mirroring_are_undone(make_clip, turn, flip):
    stored = np.zeros((48, 80, 3), np.uint8)
    stored[:20, :20], stored[:20, -20:], stored[-20:, :20] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = make_clip(f"turn{turn}{flip}.mp4", [stored] * 2, rotation=(turn, flip))
    upright = np.rot90(stored, turn // 90)
    upright = upright[:, ::-1] if flip else upright
    got = next(read_frames(path))
    assert got.shape == upright.shape
    assert np.abs(got.astype(int) - upright).mean() < 12
    info = probe(path)
    assert (info.height, info.width) == upright.shape[:2]
    assert info.rotation == turn


def test_pixels_become_square(make_clip):
    path = make_clip("wide.mp4", [np.zeros((48, 64, 3), np.uint8)] * 2, aspect=fractions.Fraction(4, 3))
    assert next(read_frames(path)).shape == (48, 85, 3)
    assert (probe(path).width, probe(path).height) == (85, 48)


def test_portrait_and_scaling(make_clip):
    path = make_clip("portrait.mp4", [np.full((96, 48, 3), 77, np.uint8)] * 3)
    assert [picture.shape for picture in read_frames(path)] == [(96, 48, 3)] * 3
    assert next(read_frames(path, size=(24, 48))).shape == (48, 24, 3)


def test_a_still_picture_is_one_object(make_clip, number_pictures):
    path = make_clip("slow.mp4", number_pictures(4), fps=5)
    pictures = list(read_frames(path))
    assert len(pictures) == 20
    assert pictures[6] is pictures[5]


def test_reading_is_lazy(make_clip, number_pictures):
    path = make_clip("lazy.mp4", number_pictures(100), encoder={"preset": "ultrafast", "tune": "zerolatency"})
    reading = Reading()
    pictures = read_frames(path, reading=reading)
    next(pictures)
    assert reading.end == 0.0
    pictures.close()


def test_truncated_but_readable(make_clip, number_pictures, read_number):
    options = {"movflags": "faststart"}
    whole = make_clip("whole.mp4", number_pictures(100), options=options, encoder={"g": "10", "crf": "10"})
    cut = whole.with_name("cut.mp4")
    data = whole.read_bytes()
    pictures = data.index(b"mdat")
    cut.write_bytes(data[: pictures + (len(data) - pictures) * 6 // 10])
    reading = Reading()
    shown = [read_number(picture) for picture in read_frames(cut, reading=reading)]
    assert 30 < len(shown) < 80
    assert shown[:30] == list(range(30))
    assert reading.end < probe(cut).duration - 0.5


def test_damage_in_the_middle_is_passed_over(make_clip, number_pictures):
    whole = make_clip("undamaged.mp4", number_pictures(60), encoder={"g": "5", "crf": "10"})
    data = bytearray(whole.read_bytes())
    middle = (data.index(b"mdat") + data.index(b"moov")) // 2
    data[middle : middle + 300] = b"\xff" * 300
    damaged = whole.with_name("damaged.mp4")
    damaged.write_bytes(data)
    reading = Reading()
    assert len(list(read_frames(damaged, reading=reading))) == 60
    assert "damaged video packet" in reading.problems[0]


def test_refusals_are_one_sentence(make_clip, number_pictures, tmp_path):
    good = make_clip("good.mp4", number_pictures(50))
    sound_only = make_clip("sound.m4a", sound=np.zeros(16000))
    empty, text, cut = (tmp_path / name for name in ("empty.mp4", "text.mp4", "cut.mp4"))
    empty.touch()
    text.write_text("Dear diary,\n" * 200)
    cut.write_bytes(good.read_bytes()[:-400])
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2.0,\n{good}\n#EXT-X-ENDLIST\n")
    script = tmp_path / "script.mp4"
    script.write_text(f"ffconcat version 1.0\nfile {good}\n")
    cases = [
        (tmp_path / "nowhere.mp4", "no such file"),
        (tmp_path, "found a folder"),
        (empty, "empty"),
        (text, "not a media file"),
        (cut, "index of this mp4 is missing"),
        (playlist, "not a media file"),
        (script, "not a media file"),
        (sound_only, "no picture track"),
    ]
    for path, reason in cases:
        for read in (probe, lambda path: next(read_frames(path))):
            with pytest.raises(BadClip, match=reason) as refusal:
                read(path)
            message = str(refusal.value)
            assert message.startswith(str(path)) and "\n" not in message


def test_limits(make_clip, number_pictures):
    path = make_clip("limits.mp4", number_pictures(60))
    with pytest.raises(BadClip, match="limit of 1 seconds"):
        list(read_frames(path, 1))
    with pytest.raises(BadClip, match="64x48 pixels are above the limit of 1000"):
        probe(path, Limits(max_pixels=1000))
    with pytest.raises(BadClip, match="longer than the limit"):
        list(read_frames(path, limits=Limits(max_fps=0.01)))
    # A header that says little does not get past the count of ticks.
    with pytest.raises(BadClip, match="longer than the limit"):
        list(video._at_ticks(iter([(0.0, 0.04, 0), (1e9, 0.04, 1)]), path, Limits(max_seconds=2), Reading()))


def test_a_track_without_pictures_is_refused(make_clip, number_pictures, tmp_path):
    whole = make_clip("head.mp4", number_pictures(20), options={"movflags": "faststart"})
    data = whole.read_bytes()
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(data[: data.index(b"mdat") + 8])
    with pytest.raises(BadClip, match="no picture of the video track can be decoded"):
        list(read_frames(headless))
    with pytest.raises(BadClip, match="no picture of the video track can be decoded"):
        probe(headless)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-10, 10)), min_size=1, max_size=30))
def test_the_clock_never_runs_back(stamps):
    clock = Clock()
    times = [clock(stamp, 0.04) for stamp in stamps]
    assert all(later >= earlier for earlier, later in zip(times, times[1:], strict=False))


def test_the_clock_goes_on_over_joined_recordings():
    clock = Clock()
    stamps = [0.0, 0.04, 0.08, 0.0, 0.04, None, 0.12]
    assert [clock(stamp, 0.04) for stamp in stamps[:3]] == pytest.approx([0, 0.04, 0.08])
    joined = Clock()
    times = [joined(stamp, 0.04) for stamp in (10.0, 10.04, 0.0, 0.04, None)]
    assert times == pytest.approx([10.0, 10.04, 10.08, 10.12, 10.16])


def test_titles_that_are_not_text_are_no_reason_to_refuse(make_clip, tmp_path):
    path = make_clip("tagged.mp4", [np.full((64, 64, 3), 99, np.uint8)] * 3)
    tagged = path.read_bytes()
    assert b"Lavf" in tagged  # the muxer's name, in the metadata
    (tmp_path / "odd.mp4").write_bytes(tagged.replace(b"Lavf", b"\xff\xfe\xff\xfe"))
    assert probe(tmp_path / "odd.mp4").width == 64
