"""Speaking in other voices than the clip's own."""

import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.small_faces2voices import small_config
from tests.small_vocoder import filled
from v2s_jax import cli
from v2s_jax.errors import V2SError
from v2s_jax.media.audio import read_wav, write_wav
from v2s_jax.media.clip import load_clip
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.rngs import Rngs
from v2s_jax.synthesis import voice
from v2s_jax.synthesis.pretrained import load_pretrained
from v2s_jax.synthesis.speaker_encoder import DEFAULT_ENCODER, UtteranceEncoder
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.systems import svts
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.systems.registry import build


def synthesizer(section):
    """An untrained model that takes dlib's face embeddings, and speaks by few iterations of Griffin-Lim."""
    system = evaluation_mode(filled(lambda: build(section, Rngs(0))))
    sound = {"vocoder": "griffin_lim", "griffin_lim_iterations": 1}
    return Synthesizer(ConfigDict({"system": section, "synthesis": sound}), system)


@pytest.fixture(scope="module")
def faces():
    return synthesizer(small_config(face=128))


@pytest.fixture(scope="module")
def clip(talker_clip):
    return load_clip(talker_clip)


@pytest.fixture(scope="module")
def own(faces, clip):
    return faces(clip).log_mel


def test_its_own_face_gives_its_own_voice(faces, clip, own, talker_clip):
    same = faces.in_voice_of(talker_clip)
    np.testing.assert_allclose(same(clip).log_mel, own, atol=1e-4)
    assert same.fingerprint() != faces.fingerprint()


def test_another_face_gives_another(faces, clip, own, talker_tree):
    other = sorted(talker_tree.rglob("*.mp4"))[0]
    assert np.abs(faces.in_voice_of(other)(clip).log_mel - own).max() > 1e-3


def test_a_recording_gives_its_voice_without_a_look_at_the_face(faces, clip, own, talker_clip, tmp_path):
    wav = tmp_path / "voice.wav"
    write_wav(wav, read_wav(talker_clip))
    voiced = faces.in_voice_of(wav)
    found = voiced(clip)
    assert np.abs(found.log_mel - own).max() > 1e-3 and "face" not in found.timings
    np.testing.assert_array_equal(voiced.voice.speaker, UtteranceEncoder(DEFAULT_ENCODER)(read_wav(wav)))
    np.testing.assert_allclose(faces(clip).log_mel, own, atol=1e-5)  # which is as it was


@pytest.mark.parametrize("wave", [np.zeros(16000), np.full(800, 0.1), np.full(16000, np.nan)], ids=["", "short", "nan"])
def test_a_recording_without_a_voice_is_refused(wave, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(voice, "read_wav", lambda path: wave.astype(np.float32))
    with pytest.raises(V2SError, match="silent.wav: no voice to be heard in .* record 0.5 s of speech or more"):
        faces.in_voice_of(tmp_path / "silent.wav")


def test_a_model_without_a_choice_of_voice_says_so(talker_clip, tmp_path):
    config = svts.default_config("tiny")
    config.update({"resnet": (2, 4), "blocks": 1, "width": 16, "hidden": 16, "heads": 2, "crop": 16})
    plain = synthesizer(config)
    write_wav(tmp_path / "voice.wav", read_wav(talker_clip))
    with pytest.raises(V2SError, match="voice.wav: the svts model takes no other voice than the clip's own"):
        plain.in_voice_of(tmp_path / "voice.wav")
    with pytest.raises(V2SError, match="the svts model takes no other face than the clip's own"):
        plain.in_voice_of(talker_clip)


def test_the_command_asks_for_the_voice(model, talker_clip, tmp_path, capsys):
    write_wav(tmp_path / "voice.wav", read_wav(talker_clip))
    options = ["--model", str(model), "--voice", str(tmp_path / "voice.wav"), "--out", str(tmp_path / "spoken")]
    assert cli.main(["synthesize", str(talker_clip), *options]) == 1
    assert "the svts model takes no other voice than the clip's own" in capsys.readouterr().err


def test_a_taught_decoder_leaves_without_its_teacher(tmp_path):
    section = small_config(reflow=2)
    _, *states = nnx.split(filled(lambda: build(section, Rngs(0))), nnx.Param, ...)
    params, stats = map(nnx.to_pure_dict, states)
    save_pretrained(tmp_path / "taught", ConfigDict({"system": section}), params, stats, "# taught\n")
    assert "teacher" in params
    command = ["export", "--model", str(tmp_path / "taught"), "--out", str(tmp_path / "alone")]
    assert cli.main(command) == 0
    config, system = load_pretrained(tmp_path / "alone")
    assert config.system.reflow == 0 and not hasattr(system, "teacher")
    np.testing.assert_array_equal(system.decoder.join.kernel[...], params["decoder"]["join"]["kernel"])
