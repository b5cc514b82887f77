import numpy as np
import pytest

from tests.small_onnx import expected, save_onnx
from v2s_jax import cli
from v2s_jax.data.command import find_corpus
from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError
from v2s_jax.features.pitch import energy, pitch
from v2s_jax.media.face_encoder import FaceEncoder
from v2s_jax.models import speaker
from v2s_jax.models.folder import save_model
from v2s_jax.models.rngs import Rngs
from v2s_jax.synthesis.speaker_encoder import UtteranceEncoder


def save_encoder(folder, dim=256):
    config = speaker.default_config("small")
    config.update({"layers": 1, "hidden": 6, "dim": dim})
    save_model(folder, config, speaker.SpeakerEncoder(config, rngs=Rngs(0)), {}, "")
    return folder


def test_tokens_of_a_talker_data_set(talker_data, tmp_path, capsys):
    encoder = save_encoder(tmp_path / "tiny")
    command = ["prepare", "tokens", "--data", str(talker_data), "--out", str(tmp_path / "data")]
    assert cli.main([*command, "--speaker-encoder", str(encoder), "--pitch", "--energy"]) == 0
    assert "speaker_embedding in 6 of 6 records" in capsys.readouterr().out
    dataset = ShardedDataset(tmp_path / "data", "train")
    record = dataset.read(0)
    np.testing.assert_allclose(record.speaker_embedding, UtteranceEncoder(encoder)(record.audio), atol=1e-6)
    assert np.linalg.norm(record.speaker_embedding) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(record.pitch, pitch(record.audio))
    np.testing.assert_allclose(record.energy, energy(record.audio), rtol=1e-6)
    about = read_metadata(tmp_path / "data").recipe["tokens"]["speaker_embedding"]
    assert about["encoder"] == "tiny" and len(about["weights"]) == 12
    assert (tmp_path / "data" / "contact_sheet.png").exists()


def test_embeddings_of_another_length_are_refused(talker_data, tmp_path, capsys):
    encoder = save_encoder(tmp_path / "short", dim=8)
    command = ["prepare", "tokens", "--data", str(talker_data), "--out", str(tmp_path / "data")]
    assert cli.main([*command, "--speaker-encoder", str(encoder)]) == 1
    assert "gives embeddings of 8 numbers; records hold 256" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_face_embeddings(talker_data, tmp_path, capsys):
    weights = np.random.default_rng(2).normal(size=(3, 6)).astype(np.float32)
    encoder = save_onnx(tmp_path / "small.onnx", weights)
    command = ["prepare", "tokens", "--data", str(talker_data), "--out", str(tmp_path / "data")]
    assert cli.main([*command, "--face-encoder", str(encoder), "--jobs", "2"]) == 0
    assert "face_embedding in 6 of 6 records" in capsys.readouterr().out
    dataset = ShardedDataset(tmp_path / "data", "train")
    for index in range(len(dataset)):
        record = dataset.read(index)
        np.testing.assert_allclose(record.face_embedding, expected(weights, record.face), atol=1e-5)
        assert record.expression.shape == (record.n_frames, 48, 48) and record.speaker_embedding is None
    about = read_metadata(tmp_path / "data").recipe["tokens"]["face_embedding"]
    assert about == {"encoder": "small.onnx", "weights": FaceEncoder(encoder).fingerprint}


def test_a_face_encoder_that_there_is_not(talker_data, tmp_path, capsys):
    command = ["prepare", "tokens", "--data", str(talker_data), "--out", str(tmp_path / "data")]
    assert cli.main([*command, "--face-encoder", "arcface"]) == 1
    assert "arcface: there is no such face encoder; expected dlib" in capsys.readouterr().err


def test_asking_for_nothing_is_a_sentence(talker_data, tmp_path, capsys):
    assert cli.main(["prepare", "tokens", "--data", str(talker_data), "--out", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err.startswith("v2s-jax prepare tokens: no token was asked for")


def test_no_corpus_can_take_the_name():
    with pytest.raises(V2SError, match="there is no corpus called 'tokens'"):
        find_corpus("tokens")
