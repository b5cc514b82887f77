import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.data import codecs


def faded(n_frames: int, size: int = 96) -> np.ndarray:
    """Frames whose grey level is their own number, so that a misplaced one shows."""
    ramp = np.linspace(0, 40, size)
    return (np.arange(n_frames)[:, None, None] % 200 + ramp[None, :, None] + 0 * ramp[None, None, :]).astype(np.uint8)


@pytest.mark.parametrize("n_frames", [1, 16, 17, 75, 256, 257, 600])
@pytest.mark.parametrize("size", [96, 48])
def test_frames_survive_whole(n_frames, size):
    frames = faded(n_frames, size)
    blobs = codecs.encode_frames(frames)
    assert len(blobs) == -(-n_frames // codecs.MOSAIC_TILES)
    decoded = codecs.decode_frames(blobs, 0, n_frames)
    assert decoded.shape == frames.shape and decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - frames).max() <= 3


BLOBS = codecs.encode_frames(faded(600))
WHOLE = codecs.decode_frames(BLOBS, 0, 600)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_window_of_frames_is_a_slice_of_the_whole(data):
    start = data.draw(st.integers(0, 599))
    stop = data.draw(st.integers(start + 1, 600))
    np.testing.assert_array_equal(codecs.decode_frames(BLOBS, start, stop), WHOLE[start:stop])


def test_mels_are_kept_to_sixteen_bits():
    mel = np.random.default_rng(0).uniform(-11.5, 2, (24, 80)).astype(np.float32)
    blobs = codecs.encode_mel(mel)
    np.testing.assert_array_equal(codecs.decode_mel(blobs, 0, 6), mel.astype(np.float16))
    np.testing.assert_array_equal(codecs.decode_mel(blobs, 2, 5), mel[8:20].astype(np.float16))


def test_a_window_decodes_only_the_mosaics_it_touches():
    blobs = codecs.encode_frames(faded(600))
    blobs[0] = blobs[2] = b"not a picture"
    assert codecs.decode_frames(blobs, 256, 512).shape == (256, 96, 96)


def test_face_keeps_its_colours():
    crops = np.zeros((4, 112, 112, 3), np.uint8)
    crops[:, 30:60] = (200, 60, 70)  # lips on a dark ground: what chroma subsampling would smear
    decoded = codecs.decode_face(codecs.encode_face(crops))
    assert decoded.shape == crops.shape
    assert np.abs(decoded.astype(int) - crops).mean() < 1.5
    assert np.abs(decoded.astype(int) - crops)[:, 34:56].max() <= 4


def test_audio_is_lossless_at_16_bits():
    rng = np.random.default_rng(0)
    samples = rng.integers(-32768, 32768, 640 * 75)
    waveform = (samples / 32768).astype(np.float32)
    blobs = codecs.encode_audio(waveform)
    np.testing.assert_array_equal(codecs.decode_audio(blobs, 0, 75), waveform)
    np.testing.assert_array_equal(codecs.decode_audio(blobs, 7, 33), waveform[7 * 640 : 33 * 640])


def test_loud_audio_is_clipped_not_wrapped():
    decoded = codecs.decode_audio(codecs.encode_audio(np.array([2.0, -2.0] * 320, np.float32)), 0, 1)
    np.testing.assert_array_equal(decoded[:2], [32767 / 32768, -1.0])
