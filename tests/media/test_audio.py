import numpy as np
import pytest

from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.audio import read_audio, read_wav, write_flac, write_wav
from v2s_jax.media.container import open_container
from v2s_jax.media.video import read_frames

RATE = 16000


def flash_and_click(fps, rate, seconds=2.0, at=1.0, shape=(48, 64, 3)):
    """A white picture from the first frame at or after `at`, and a click at exactly that frame's time."""
    count = round(seconds * fps)
    first = int(np.ceil(at * fps - 1e-9))
    frames = [
        np.full(shape, 255 if first <= i < first + max(1, round(fps / 10)) else 0, np.uint8) for i in range(count)
    ]
    sound = np.zeros(round(seconds * rate), np.float32)
    begin = round(first / fps * rate)
    sound[begin : begin + rate // 50] = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(rate // 50) / rate)
    return frames, sound, first / fps


def onset(wave, level=0.2):
    return int(np.argmax(np.abs(wave) > level)) / RATE


def flash(path):
    pictures = [picture.mean() for picture in read_frames(path)]
    return int(np.argmax(np.array(pictures) > 128)) / 25, len(pictures)


@pytest.mark.parametrize("fps", [25, 30000 / 1001, 60, 15])
@pytest.mark.parametrize(
    ("name", "rate", "codec", "sound_codec"),
    [
        ("a.mp4", 44100, "libx264", "aac"),
        ("b.mp4", 16000, "libx264", "aac"),
        ("c.mov", 48000, "libx264", "pcm_s16le"),
        ("d.mkv", 8000, "libx264", "pcm_s16le"),
        ("e.ts", 48000, "libx264", "aac"),
        ("f.mpg", 44100, "mpeg1video", "mp2"),
    ],
)
def test_click_and_flash_stay_together(make_clip, fps, name, rate, codec, sound_codec):
    if codec == "mpeg1video" and fps == 15:
        fps = 50  # MPEG-1 has no 15
    frames, sound, true = flash_and_click(fps, rate)
    path = make_clip(
        f"{fps}{name}", frames, fps=fps, codec=codec, sound=sound, sound_rate=rate, sound_codec=sound_codec
    )
    seen, count = flash(path)
    heard = read_audio(path, count)
    assert heard.shape == (640 * count,) and heard.dtype == np.float32
    assert abs(seen - true) <= 0.04
    assert abs(onset(heard) - true) <= 0.003


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_sample_rate_keeps_pitch_and_level(make_clip, rate):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    path = make_clip(
        f"tone{rate}.mkv", [np.zeros((48, 64, 3), np.uint8)] * 25, sound=tone, sound_rate=rate, sound_codec="pcm_s16le"
    )
    heard = read_audio(path, 25)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert np.abs(heard - expected)[400:-400].max() < 0.01


def test_stereo_is_averaged(make_clip):
    time = np.arange(16000) / 16000
    left, right = 0.9 * np.sin(2 * np.pi * 300 * time), 0.3 * np.sin(2 * np.pi * 300 * time)
    path = make_clip(
        "stereo.mkv", [np.zeros((48, 64, 3), np.uint8)] * 25, sound=np.stack([left, right]), sound_codec="pcm_s16le"
    )
    assert np.abs(read_audio(path, 25) - (left + right) / 2).max() < 1e-3


def test_no_sound_track_is_none(make_clip, number_pictures):
    assert read_audio(make_clip("silent.mp4", number_pictures(5)), 5) is None


@pytest.mark.parametrize("shift", [-0.5, -0.013, 0.3, 0.7])
def test_sound_that_starts_early_or_late(make_clip, shift):
    """The picture starts at 1 s; the sound, a tone throughout, `shift` later."""
    times = [1 + i / 25 for i in range(50)]
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(32000) / RATE)
    starts = [1 + shift + i * 1000 / RATE for i in range(32)]
    path = make_clip(
        f"shift{shift}.mkv",
        [np.zeros((48, 64, 3), np.uint8)] * 50,
        times=times,
        sound=tone,
        sound_times=starts,
        sound_codec="pcm_s16le",
    )
    heard = read_audio(path, 50)
    true = np.zeros(32000)
    moved = round(shift * RATE)
    source = tone[max(0, -moved) : 32000 - max(0, moved)]
    true[max(0, moved) : max(0, moved) + len(source)] = source
    loud = lambda wave: np.flatnonzero(np.abs(wave) > 0.2)  # noqa: E731
    assert abs(loud(heard)[0] - loud(true)[0]) <= 16 + 2
    assert abs(loud(heard)[-1] - loud(true)[-1]) <= 16 + 2
    # The phase of the tone gives the shift to the container's millisecond.
    middle = slice(12000, 16000)
    phase = np.exp(-2j * np.pi * 500 * np.arange(32000)[middle] / RATE)
    turn = np.angle((heard[middle] * phase).sum() / (true[middle] * phase).sum())
    assert abs(turn) / (2 * np.pi * 500) < 0.0011


def test_a_gap_in_the_sound_stays_a_gap(make_clip):
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(16000) / RATE)
    starts = [i * 1000 / RATE + (0.5 if i >= 8 else 0) for i in range(16)]
    path = make_clip(
        "gap.mkv", [np.zeros((48, 64, 3), np.uint8)] * 50, sound=tone, sound_times=starts, sound_codec="pcm_s16le"
    )
    heard = read_audio(path, 50)
    power = np.sqrt((heard.reshape(-1, 800) ** 2).mean(axis=1))  # 50 ms
    assert (power[:10] > 0.3).all() and (power[10:20] < 0.01).all() and (power[20:30] > 0.3).all()
    assert (power[31:] == 0).all()


def test_length_follows_the_picture(make_clip, number_pictures):
    path = make_clip("short.mp4", number_pictures(50), sound=np.full(8000, 0.1, np.float32))
    assert len(read_audio(path, 50)) == 32000
    assert len(read_audio(path, 3)) == 1920
    assert len(read_audio(path, None)) == pytest.approx(8000, abs=1100)
    assert len(read_audio(path, None)) % 640 == 0
    assert len(read_audio(path, None, max_seconds=0.2)) == 3200


def test_a_decoder_that_overshoots_is_clipped(make_clip, number_pictures):
    loud = np.sign(np.sin(2 * np.pi * 200 * np.arange(16000) / RATE)).astype(np.float32)
    heard = read_audio(make_clip("loud.mp4", number_pictures(25), sound=loud), 25)
    assert heard.max() <= 1 and heard.min() >= -1


def test_wav_there_and_back(tmp_path, rng=np.random.default_rng(0)):  # noqa: B008
    wave = rng.uniform(-1, 1, 12345).astype(np.float32)
    write_wav(tmp_path / "a.wav", wave)
    back = read_wav(tmp_path / "a.wav")
    assert back.shape == wave.shape and np.abs(back - wave).max() < 1e-4
    write_wav(tmp_path / "b.wav", wave * 3)
    assert np.abs(read_wav(tmp_path / "b.wav") - np.clip(wave * 3, -1, 1)).max() < 1e-4
    with open_container(tmp_path / "a.wav") as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.codec_context.sample_rate) == ("pcm_s16le", 16000)
    write_wav(tmp_path / "c.wav", wave[:8000], sample_rate=8000)
    assert len(read_wav(tmp_path / "c.wav")) == 16000


def test_wav_refusals(tmp_path, make_clip, number_pictures):
    with pytest.raises(BadClip, match="no sound track"):
        read_wav(make_clip("mute.mp4", number_pictures(3)))
    with pytest.raises(BadClip, match="no such file"):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(V2SError, match="cannot be written"):
        write_wav(tmp_path / "nowhere" / "a.wav", np.zeros(10, np.float32))
    (tmp_path / "taken").mkdir()
    with pytest.raises(V2SError, match="cannot be written"):
        write_wav(tmp_path / "taken", np.zeros(10, np.float32))
    assert [item.name for item in tmp_path.iterdir()] == ["taken"]


def test_flac_holds_what_wav_holds(tmp_path):
    wave = np.array([0.0, 0.5, -0.25, 2.0, -3.0, np.nan] * 100, np.float32)
    write_flac(tmp_path / "a.flac", wave)
    write_wav(tmp_path / "a.wav", wave)
    np.testing.assert_array_equal(read_wav(tmp_path / "a.flac"), read_wav(tmp_path / "a.wav"))
    assert (tmp_path / "a.flac").read_bytes()[:4] == b"fLaC"
    with pytest.raises(V2SError):
        write_flac(tmp_path / "nowhere" / "a.flac", wave)
