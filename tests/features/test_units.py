import numpy as np
import pytest

from v2s_jax.errors import V2SError
from v2s_jax.features.mfcc import mfcc
from v2s_jax.features.units import Codebook, load_codebook, mfcc_features, save_codebook

INFO = {"feature": "mfcc", "layer": None, "clusters": 3, "inertia": 0.5}


def codebook():
    return Codebook(np.array([[0, 0], [1, 0], [0, 3]], np.float32), INFO)


def test_the_nearest_centroid_by_hand():
    found = codebook()(np.array([[0.4, 0.1], [0.6, -5], [0, 2], [0.5, 0]], np.float32))
    assert found.dtype == np.int16 and found.tolist() == [0, 1, 2, 0]


def test_many_frames_as_one_by_one():
    rng = np.random.default_rng(0)
    book = Codebook(rng.normal(3, 1, (50, 39)).astype(np.float32), {})
    frames = rng.normal(3, 1, (100, 39)).astype(np.float32)
    expected = [((frame.astype(np.float64) - book.centroids) ** 2).sum(1).argmin() for frame in frames]
    assert book(frames).tolist() == expected


@pytest.mark.parametrize("frames", [1, 2, 25, 31])
def test_two_mfccs_go_to_a_video_frame(frames):
    wave = np.random.default_rng(0).normal(0, 0.1, 640 * frames).astype(np.float32)
    found = mfcc_features(wave)
    assert found.shape == (2 * frames, 39)
    # Unit j is of the 400 samples from 320 j on; only the last ones know of the zeros after the end.
    for unit in range(2 * frames - 1):
        np.testing.assert_allclose(found[unit, :13], mfcc(wave[320 * unit : 320 * unit + 400])[0, :13], atol=1e-4)
    last = np.concatenate([wave[-320:], np.zeros(80, np.float32)])
    np.testing.assert_allclose(found[-1, :13], mfcc(last)[0, :13], atol=1e-4)


def test_a_codebook_comes_back(tmp_path):
    path = tmp_path / "codebook.safetensors"
    save_codebook(path, codebook())
    found = load_codebook(path)
    np.testing.assert_array_equal(found.centroids, codebook().centroids)
    assert found.info == INFO and found.fingerprint == codebook().fingerprint
    first = path.read_bytes()
    save_codebook(path, codebook())
    assert path.read_bytes() == first
    assert Codebook(found.centroids + 1, INFO).fingerprint != found.fingerprint


@pytest.mark.parametrize("name", ["codebook.npy", "codebook.npz"])
def test_bare_centroids_are_read(tmp_path, name):
    path = tmp_path / name
    centroids = codebook().centroids.astype(np.float64)
    np.save(path, centroids) if path.suffix == ".npy" else np.savez(path, centroids=centroids)
    found = load_codebook(path)
    np.testing.assert_array_equal(found.centroids, centroids)
    assert found.centroids.dtype == np.float32 and found.info == {}


@pytest.mark.parametrize("name", ["km.bin", "km.pkl", "km.joblib"])
def test_pickles_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(V2SError, match=f"{name}: not a codebook .* run code when they are read"):
        load_codebook(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", np.zeros(3, np.float32)),
        ("a.npy", np.zeros((0, 3), np.float32)),
        ("a.npy", np.zeros((3, 2), np.int32)),
        ("a.npy", np.full((3, 2), np.nan)),
        ("a.npy", np.zeros((32769, 1), np.float16)),
        ("a.npy", np.array([{}], object)),
        ("a.npz", {"means": np.zeros((3, 2))}),
        ("a.npz", b"PK\x03\x04nothing"),
        ("a.safetensors", b"nothing"),
        ("a.npy", b""),
        ("a.npy", None),
    ],
)
def test_damaged_codebooks_are_sentences(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(V2SError, match=f"{name}: "):
        load_codebook(path)
