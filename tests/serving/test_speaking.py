import numpy as np
import pytest

from v2s_jax.errors import BadClip
from v2s_jax.media.audio import read_wav
from v2s_jax.serving.desk import Desk, Wish
from v2s_jax.serving.offers import load_offer
from v2s_jax.serving.speaking import _as_wished
from v2s_jax.synthesis.demo import shipped_clip
from v2s_jax.synthesis.speaker_encoder import UtteranceEncoder


@pytest.fixture(scope="module")
def offer():
    return load_offer("grid-s1-faces2voices")


@pytest.fixture
def task():
    with Desk(lambda task: None) as desk:
        yield desk.open()


def test_models_with_choices_say_so(offer):
    assert offer.facts() == {"name": offer.name, "system": "faces2voices", "evaluations": 10, "voice": True}


def test_the_voice_and_the_evaluations_asked_for_reach_the_model(offer, task):
    (task.folder / "voice").write_bytes(shipped_clip()[0].read_bytes())
    wish = Wish(offer, task.folder / "clip", "clip.mp4", evaluations=3, voice=task.folder / "voice")
    synthesizer = _as_wished(task, wish, 60)
    assert synthesizer.network.knobs["evaluations"] == 3 and offer.synthesizer.network.knobs["evaluations"] == 10
    expected = UtteranceEncoder("voices-ge2e")(read_wav(shipped_clip()[0]))
    assert np.dot(synthesizer.voice.speaker, expected) > 0.999
    assert offer.synthesizer.voice is None and list(task.folder.iterdir()) == []


def test_a_voice_without_sound_is_one_sentence(offer, task, clip_path):
    (task.folder / "voice").write_bytes(clip_path.read_bytes())
    with pytest.raises(BadClip, match="^the voice: expected the recording of a voice"):
        _as_wished(task, Wish(offer, task.folder / "clip", "clip.mp4", voice=task.folder / "voice"), 60)
    assert list(task.folder.iterdir()) == []
