from pathlib import Path

import numpy as np
import pytest

from v2s_jax.features.mfcc import differences, mfcc

KALDI = Path(__file__).parent / "mfcc_kaldi.npz"  # of kaldi-native-fbank 1.23: chirp, tone, noise, then silence


@pytest.fixture(scope="module")
def kaldi():
    with np.load(KALDI) as arrays:
        return (arrays["pcm"] / 32768).astype(np.float32), arrays["mfcc"]


def test_cepstra_equal_kaldis(kaldi):
    wave, expected = kaldi
    found = mfcc(wave)
    assert found.shape == (46, 39) and found.dtype == np.float32
    np.testing.assert_allclose(found[:, :13], expected, atol=5e-4)  # of up to 77, Kaldi in float32


def test_differences_of_the_cepstra_come_behind_them(kaldi):
    found = mfcc(kaldi[0])
    np.testing.assert_allclose(found[:, 13:26], differences(found[:, :13].astype(np.float64)), atol=1e-4)
    np.testing.assert_allclose(found[:, 26:], differences(found[:, 13:26].astype(np.float64)), atol=1e-4)


def test_differences_by_hand():
    ramp = np.arange(6.0)[:, None]
    # In the middle the slope; at the first frame (1 * (1 - 0) + 2 * (2 - 0)) / 10, at the second (2 + 2 * 3) / 10.
    np.testing.assert_allclose(differences(ramp)[:, 0], [0.5, 0.8, 1, 1, 0.8, 0.5])


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_frames_lie_wholly_inside_the_wave(samples, frames):
    assert mfcc(np.ones(samples, np.float32)).shape == (frames, 39)


def test_loudness_moves_the_first_coefficient_alone(kaldi):
    wave = kaldi[0][:5000]
    found = mfcc(0.5 * wave) - mfcc(wave)
    np.testing.assert_allclose(found[:, 0], np.sqrt(23) * np.log(0.25), atol=1e-3)
    assert abs(found[:, 1:]).max() < 1e-3
