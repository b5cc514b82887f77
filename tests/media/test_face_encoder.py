import sys
import threading

import numpy as np
import pytest

from tests.small_onnx import expected, save_onnx
from v2s_jax.errors import V2SError
from v2s_jax.media import align
from v2s_jax.media.detect import FaceDetector
from v2s_jax.media.dlib_models import identity_model
from v2s_jax.media.face_encoder import FaceEncoder

WEIGHTS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def dlib():
    return FaceEncoder()


@pytest.fixture(scope="module")
def crops(faces):
    """Of each of two people two face crops, and two chips as dlib itself would cut them out."""
    cut = []
    for pictures in faces:
        seen = [(picture, FaceDetector()([picture])[0][0].landmarks) for picture in (pictures[0], pictures[30])]
        aligned = [align.sample(picture, align.face_transform(points), 112) for picture, points in seen]
        chips = [
            align.sample(picture, align.similarity(align.stable_points(points), align.chip_points()), 150)
            for picture, points in seen
        ]
        cut.append(tuple(np.round(np.stack(part)).astype(np.uint8) for part in (aligned, chips)))
    return cut


def random_faces(count: int = 3) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.integers(0, 128, (count, 112, 112, 3)) + rng.integers(0, 128, (count, 1, 1, 3))).astype(np.uint8)


def test_dlib_sees_in_face_crops_whom_it_sees_in_its_own_chips(dlib, crops):
    assert (dlib.name, dlib.dim, len(dlib.fingerprint)) == ("dlib", 128, 12)
    for aligned, chips in crops:
        vector = dlib(aligned)
        assert vector.shape == (128,) and vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        own = [np.array(identity_model().compute_face_descriptor(chip)) for chip in chips]
        own = np.mean([v / np.linalg.norm(v) for v in own], axis=0)
        assert vector @ own / np.linalg.norm(own) > 0.99  # 0.985 if 6 pixels off, 0.9 without the warp


def test_an_onnx_model_is_fed_as_insightface_does(tmp_path):
    encoder = FaceEncoder(save_onnx(tmp_path / "small.onnx", WEIGHTS))
    assert (encoder.name, encoder.dim, len(encoder.fingerprint)) == ("small.onnx", 5, 12)
    faces = random_faces()
    np.testing.assert_allclose(encoder(faces), expected(WEIGHTS, faces), atol=1e-5)
    np.testing.assert_allclose(encoder(faces[::-1]), encoder(faces), atol=1e-6)
    assert FaceEncoder(save_onnx(tmp_path / "other.onnx", 2 * WEIGHTS)).fingerprint != encoder.fingerprint


@pytest.mark.parametrize("taken", [(1, 3, 112, 112), ("N", "channels", "height", "width")])
def test_models_of_one_face_at_a_time_or_of_any_size_do(tmp_path, taken):
    faces = random_faces()
    encoder = FaceEncoder(save_onnx(tmp_path / "small.onnx", WEIGHTS, taken))
    np.testing.assert_allclose(encoder(faces), expected(WEIGHTS, faces), atol=1e-5)


def test_threads_share_an_encoder(tmp_path):
    encoder, faces, found = FaceEncoder(save_onnx(tmp_path / "small.onnx", WEIGHTS)), random_faces(8), {}

    def work(index):
        found[index] = encoder(faces[index : index + 1])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(faces))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, vector in found.items():
        np.testing.assert_array_equal(vector, encoder(faces[index : index + 1]))
    assert len(found) == 8


@pytest.mark.parametrize("name", ["facenet", "models/r50.onnx", "r50.pt"])
def test_encoders_that_there_are_not(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r50.pt").write_bytes(b"")
    with pytest.raises(V2SError, match=f"^{name}: there is no such face encoder; expected dlib, or .* in .onnx$"):
        FaceEncoder(name)


def test_files_that_are_no_such_model(tmp_path):
    (tmp_path / "text.onnx").write_text("this is a text file")
    with pytest.raises(V2SError, match="text.onnx: cannot be run as an ONNX model, it may be damaged"):
        FaceEncoder(tmp_path / "text.onnx")
    other = save_onnx(tmp_path / "size.onnx", WEIGHTS, ("N", 3, 160, 160))
    with pytest.raises(V2SError, match=r"size.onnx: takes x: tensor.float. .*160.*; expected .* \[N, 3, 112, 112\]"):
        FaceEncoder(other)
    with pytest.raises(V2SError, match=r"map.onnx: gives an array \[1, 3, 1, 1\] for one face"):
        FaceEncoder(save_onnx(tmp_path / "map.onnx", WEIGHTS, pooled_only=True))
    broken = FaceEncoder(save_onnx(tmp_path / "nan.onnx", np.full_like(WEIGHTS, np.nan)))
    with pytest.raises(V2SError, match="nan.onnx: the model's output is not finite"):
        broken(random_faces())


def test_without_onnxruntime_one_sentence_says_what_adds_it(tmp_path, monkeypatch):
    path = save_onnx(tmp_path / "small.onnx", WEIGHTS)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        V2SError, match=r"small.onnx: .*onnxruntime is missing \(pip install 'v2s-jax\[eval\]' adds it\)"
    ):
        FaceEncoder(path)


def test_no_face_is_refused(tmp_path):
    with pytest.raises(V2SError, match="no face crop"):
        FaceEncoder(save_onnx(tmp_path / "small.onnx", WEIGHTS))(random_faces(0))
