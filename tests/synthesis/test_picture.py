import numpy as np
from PIL import Image

from v2s_jax.synthesis.picture import mouth_strip, write_picture


def test_crops_stand_at_their_time():
    mouth = np.arange(100, dtype=np.uint8).reshape(100, 1, 1) * np.ones((100, 96, 96), np.uint8)
    strip = mouth_strip(mouth, 500)
    assert strip.shape == (96, 500)
    np.testing.assert_array_equal(strip[0, [50, 150, 250, 350, 450]], [10, 30, 50, 70, 90])


def test_a_very_short_clip(tmp_path):
    mouth, wave = np.full((1, 96, 96), 9, np.uint8), np.zeros(640, np.float32)
    write_picture(tmp_path / "p.png", mouth, wave, wave)
    with Image.open(tmp_path / "p.png") as image:
        assert image.size[0] > 0


def test_without_a_recording_its_part_is_left_out(tmp_path):
    t = np.arange(32000) / 16000
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    mouth = np.full((50, 96, 96), 77, np.uint8)
    write_picture(tmp_path / "one.png", mouth, tone)
    write_picture(tmp_path / "two.png", mouth, tone, np.zeros_like(tone))
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        alone, both = np.asarray(one), np.asarray(two)
    np.testing.assert_array_equal(alone[-241:], both[-241:])
    np.testing.assert_array_equal(alone[18:114], both[18:114])
    assert len(both) - len(alone) == 18 + 241


def test_parts_are_where_they_are_said_to_be(tmp_path):
    t = np.arange(32000) / 16000
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    write_picture(tmp_path / "p.png", np.full((50, 96, 96), 77, np.uint8), np.zeros_like(tone), tone)
    with Image.open(tmp_path / "p.png") as image:
        pixels = np.asarray(image.convert("L"), np.float64)
    assert pixels[40, 50] == 77
    true, synthesized = pixels[96 + 36 : 96 + 36 + 241], pixels[-241:]
    assert true.std() > 10 * max(synthesized[5:].std(), 0.1)
