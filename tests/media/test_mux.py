import resource

import numpy as np
import pytest

from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.audio import read_audio, write_wav
from v2s_jax.media.container import open_container
from v2s_jax.media.mux import put_sound_back, write_video
from v2s_jax.media.video import probe, read_frames


def tone(seconds, rate=16000):
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("fps", [25, 29.97, 60])
def test_sound_starts_with_the_picture(tmp_path, fps, rate):
    count, white = round(2 * fps), round(fps)
    frames = (np.full((48, 64, 3), 255 if i >= white else 0, np.uint8) for i in range(count))
    wave = np.concatenate([np.zeros(round(white / fps * rate)), tone(0.5, rate)]).astype(np.float32)
    write_video(tmp_path / "a.mp4", frames, fps, wave, rate)
    pictures = [picture.mean() > 128 for picture in read_frames(tmp_path / "a.mp4")]
    heard = read_audio(tmp_path / "a.mp4", len(pictures))
    assert abs(pictures.index(True) / 25 - white / fps) <= 0.02
    assert abs(np.argmax(np.abs(heard) > 0.2) / 16000 - white / fps) <= 0.003


def test_the_file_is_what_players_expect(tmp_path):
    write_video(tmp_path / "a.mp4", [np.zeros((49, 65, 3), np.uint8)] * 5, 25, tone(0.2))
    with open_container(tmp_path / "a.mp4") as container:
        video, audio = container.streams.video[0].codec_context, container.streams.audio[0].codec_context
        assert (video.name, video.pix_fmt, video.width, video.height) == ("h264", "yuv420p", 64, 48)
        assert (audio.name, audio.sample_rate) == ("aac", 16000)
    write_video(tmp_path / "b.mp4", [np.zeros((48, 64, 3), np.uint8)], 25, None)
    assert not probe(tmp_path / "b.mp4").has_audio
    write_video(tmp_path / "c.mp4", [np.zeros((48, 64, 3), np.uint8)], 25, np.zeros(0, np.float32))
    assert not probe(tmp_path / "c.mp4").has_audio


def test_pictures_survive(tmp_path):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[32:, 48:] = (200, 40, 40), (40, 40, 200)
    write_video(tmp_path / "a.mp4", [picture] * 4, 25, None)
    got = list(read_frames(tmp_path / "a.mp4"))
    assert len(got) == 4 and np.abs(got[2].astype(int) - picture).mean() < 6


def test_new_sound_on_an_upright_picture(make_clip, number_pictures, tmp_path):
    stored = [np.rot90(picture, -1) for picture in number_pictures(30)]
    source = make_clip("sideways.mp4", stored, fps=30, rotation=(90, False), sound=tone(1) * 0.1)
    put_sound_back(source, np.concatenate([np.zeros(8000, np.float32), tone(0.5)]), tmp_path / "new.mp4")
    info = probe(tmp_path / "new.mp4")
    assert (info.width, info.height, info.rotation, info.fps) == (64, 48, 0, 25)
    assert len(list(read_frames(tmp_path / "new.mp4"))) == 25
    heard = read_audio(tmp_path / "new.mp4", 25)
    assert np.abs(heard[:7900]).max() < 0.05 and np.abs(heard[8200:15000]).max() > 0.4


def test_large_pictures_are_made_watchable(make_clip, tmp_path):
    source = make_clip("large.mp4", [np.zeros((1200, 2400, 3), np.uint8)] * 2)
    put_sound_back(source, tone(0.08), tmp_path / "new.mp4")
    assert (probe(tmp_path / "new.mp4").width, probe(tmp_path / "new.mp4").height) == (1920, 960)


def test_failures_leave_nothing_behind(tmp_path, make_clip, number_pictures):
    frames = number_pictures(5)
    (tmp_path / "old.mp4").write_bytes(b"kept")

    def breaks():
        yield frames[0]
        raise BadClip("the source broke off")

    with pytest.raises(BadClip, match="broke off"):
        write_video(tmp_path / "old.mp4", breaks(), 25, None)
    with pytest.raises(V2SError, match="no frames"):
        write_video(tmp_path / "none.mp4", [], 25, None)
    with pytest.raises(V2SError, match="cannot be written"):
        write_video(tmp_path / "nowhere" / "a.mp4", frames, 25, None)
    with pytest.raises(BadClip, match="no such file"):
        put_sound_back(tmp_path / "missing.mp4", tone(1), tmp_path / "a.mp4")
    assert [item.name for item in tmp_path.iterdir()] == ["old.mp4"]
    assert (tmp_path / "old.mp4").read_bytes() == b"kept"


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    """A limit on the size of files stands in for the disk: writing fails in the same place."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 96, 128, 3)).astype(np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(V2SError, match="a.mp4: cannot be written"):
            write_video(tmp_path / "a.mp4", list(noise), 25, tone(1.6))
        with pytest.raises(V2SError, match="a.wav: cannot be written"):
            write_wav(tmp_path / "a.wav", tone(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
