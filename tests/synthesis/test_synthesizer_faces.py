"""What a synthesizer lets a system see of a face, and whose face it is."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.small_onnx import expected as expected_embedding
from tests.small_onnx import save_onnx
from tests.synthesis.echo import OVERLAP, WINDOW, Echo, echo, expected
from v2s_jax.data.schema import Record
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.synthesis.synthesizer import Synthesizer


def test_faces_and_speakers_reach_the_system(make_clip):
    clip, speaker = make_clip(10), np.full(256, 0.25, np.float32)
    synth = echo(batch_size=2, fields=("mouth", "face", "speaker_embedding", "audio"), reach=0)
    mel = synth(clip, speaker=speaker).log_mel
    np.testing.assert_allclose(mel[::4, 0], expected(clip, 0) + clip.faces.mean() + 64, rtol=1e-5)
    with pytest.raises(BadClip, match="noise.mp4: has no speaker_embedding"):
        synth(clip)


class Watchful(Echo):
    """Looks at the expression frame by frame, and at whose face it is."""

    def __init__(self, **settings):
        super().__init__(fields=("mouth", "expression", "face_embedding", "audio"), **settings)

    def synthesize(self, batch, rngs, sampler=None):
        assert batch.audio is None and batch.face is None
        level = batch.expression.astype(jnp.float32).mean((2, 3))
        places = jnp.arange(1, 1 + batch.face_embedding.shape[1])
        level = level + 1000 * (batch.face_embedding * places[None]).sum(1)[:, None]
        return jnp.repeat(level, 4, axis=1)[..., None] * jnp.ones(80)[None, None]


def watchful(face_encoder, batch_size=1):
    section = {"window": WINDOW, "overlap": OVERLAP, "face_encoder": str(face_encoder)}
    config = ConfigDict({"system": {"name": "watchful"}, "synthesis": section})
    synth = Synthesizer(config, Watchful(), batch_size=batch_size)
    synth.vocoder = lambda log_mel: np.repeat(log_mel[:, 0], 160)
    return synth


WEIGHTS = np.random.default_rng(6).normal(size=(3, 4)).astype(np.float32)


def test_expressions_are_cut_to_windows_and_faces_told_apart(make_clip, tmp_path):
    synth = watchful(save_onnx(tmp_path / "small.onnx", WEIGHTS), batch_size=2)
    clips = [make_clip(100, 1), make_clip(30, 2)]
    for speech, clip in zip(synth.batch(clips), clips, strict=True):
        whose = 1000 * expected_embedding(WEIGHTS, clip.faces) @ np.arange(1, 5)
        np.testing.assert_allclose(speech.log_mel[::4, 0], clip.expression.mean((1, 2)) + whose, rtol=1e-4, atol=0.01)


def test_a_record_says_whose_face_it_is_or_the_encoder_does(make_clip, tmp_path):
    clip = make_clip(30)
    path = save_onnx(tmp_path / "small.onnx", WEIGHTS)
    synth = watchful(path)
    record = Record("r", 30, mouth=clip.mouth, face=clip.faces, expression=clip.expression)
    np.testing.assert_array_equal(synth.synthesize_record(record).log_mel, synth(clip).log_mel)
    known = dataclasses.replace(record, face=None, face_embedding=np.eye(1, 4, 2, dtype=np.float32)[0])
    path.unlink()
    mel = watchful(path).synthesize_record(known).log_mel  # without the encoder
    np.testing.assert_allclose(mel[::4, 0], clip.expression.mean((1, 2)) + 3000, rtol=1e-5)
    with pytest.raises(V2SError, match="small.onnx: there is no such face encoder"):
        watchful(path).synthesize_record(record)
    with pytest.raises(BadClip, match="r: has no face_embedding, which the watchful model needs; add it or use"):
        synth.synthesize_record(dataclasses.replace(record, face=None))
    with pytest.raises(BadClip, match="r: has no expression, .* needs; prepare the data set again or use"):
        synth.synthesize_record(dataclasses.replace(record, expression=None))


def test_the_fingerprint_knows_the_face_encoder(tmp_path):
    path = save_onnx(tmp_path / "small.onnx", WEIGHTS)
    before = watchful(path).fingerprint()
    assert watchful(path).fingerprint() == before
    save_onnx(path, 2 * WEIGHTS)
    assert watchful(path).fingerprint() != before


def test_dlib_is_the_default_and_its_time_is_counted(make_clip):
    synth = Synthesizer(ConfigDict({"system": {"name": "watchful"}}), Watchful())
    synth.vocoder = lambda log_mel: np.repeat(log_mel[:, 0], 160)
    speech = synth(make_clip(10))
    assert synth.face_encoder.name == "dlib" and list(speech.timings)[0] == "face"


def test_systems_that_do_not_ask_load_no_face_encoder(make_clip):
    synth = echo(fields=("mouth", "face"))
    synth(make_clip(10))
    synth.fingerprint()
    assert "face_encoder" not in vars(synth)
