"""Clips made on the fly: pictures that say which one they are, a click under a flash, and rendered faces."""

import fractions

import av
import numpy as np
import pytest

from data_pipelines.talker.render import render_clip
from v2s_jax.media.video import read_frames


def _encode_video(container, stream, frames, times, base):
    for index, frame in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if times is not None:
            picture.pts, picture.time_base = round(times[index] / base), base
        container.mux(stream.encode(picture))
    container.mux(stream.encode())


def _encode_audio(container, stream, samples, rate, times):
    """`times` are the start times of blocks of 1000 samples (by default one after the other from 0)."""
    for number, start in enumerate(range(0, samples.shape[1], 1000)):
        block = np.ascontiguousarray(samples[:, start : start + 1000], np.float32)
        layout = "mono" if len(samples) == 1 else "stereo"
        sound = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        sound.sample_rate, sound.time_base = rate, fractions.Fraction(1, rate)
        sound.pts = start if times is None else round(times[number] * rate)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for part in resampler.resample(sound):
            container.mux(stream.encode(part))
    container.mux(stream.encode())


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory):
    """make_clip(name, frames, ...) -> path: a file as some camera or tool might have left it."""
    folder = tmp_path_factory.mktemp("clips")

    def make(
        name,
        frames=None,
        *,
        fps=25,
        times=None,
        codec="libx264",
        sound=None,
        sound_rate=16000,
        sound_codec="aac",
        sound_times=None,
        rotation=None,
        aspect=None,
        options=None,
        encoder=None,
    ):
        path = folder / name
        with av.open(str(path), "w", options=options or {}) as container:
            video = audio = None
            if frames is not None:
                video = container.add_stream(codec, rate=fractions.Fraction(fps).limit_denominator(1001))
                video.height, video.width = frames[0].shape[:2]
                video.pix_fmt = "yuv420p"
                video.options = encoder or ({"preset": "ultrafast", "crf": "10"} if codec == "libx264" else {})
                if aspect:
                    video.codec_context.sample_aspect_ratio = aspect
                if rotation:
                    video.set_display_rotation(rotation[0], hflip=rotation[1])
            if sound is not None:
                sound = np.atleast_2d(sound)
                audio = container.add_stream(sound_codec, rate=sound_rate, layout=["mono", "stereo"][len(sound) - 1])
            if video is not None:
                # Fine enough for any timestamps; the container rounds them as it must.
                base = fractions.Fraction(1, 12800)
                if times is not None:
                    video.codec_context.time_base = base
                _encode_video(container, video, frames, times, base)
            if audio is not None:
                _encode_audio(container, audio, sound, sound_rate, sound_times)
        return path

    return make


def numbered(count, height=48, width=64):
    """Pictures that carry their number, up to 255, as eight black or white bars."""
    for number in range(count):
        bits = [(number >> bit) & 1 for bit in range(8)]
        yield np.repeat(np.repeat(np.array(bits, np.uint8) * 255, width // 8)[None, :], height, axis=0)[
            :, :, None
        ].repeat(3, axis=2)


@pytest.fixture(scope="session")
def number_pictures():
    """number_pictures(count) -> list of pictures that `read_number` tells apart."""
    return lambda count, **size: list(numbered(count, **size))


@pytest.fixture(scope="session")
def read_number():
    """read_number(picture) -> the number that a picture carries."""

    def read(picture):
        bars = picture.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1)
        return int(sum(int(bar > 128) << bit for bit, bar in enumerate(bars)))

    return read


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Pictures of two people, 40 each, as lists of arrays [288, 360, 3]."""
    folder = tmp_path_factory.mktemp("faces")
    people = []
    for identity, sentence in ((0, "bin blue at f two now"), (12, "lay red by c nine again")):
        path = folder / f"{identity}.mp4"
        render_clip(path, identity=identity, sentence=sentence, seed=identity, sound=False)
        people.append(list(read_frames(path))[10:50])
    return people


@pytest.fixture(scope="session")
def backdrop():
    """A picture without a face."""
    ramp = np.linspace(90, 150, 360)[None, :, None] + np.linspace(0, 30, 288)[:, None, None]
    return np.broadcast_to(ramp, (288, 360, 3)).astype(np.uint8)
