import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests import small_diffv2s
from tests.small_model import save_small
from tests.small_vocoder import filled
from v2s_jax import cli
from v2s_jax.data.schema import Record
from v2s_jax.evaluation.voices import Voice, compare, embeddings, table
from v2s_jax.features.filterbank import stacked_filterbank_jax
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.registry import build


def axis(number):
    return np.eye(256, dtype=np.float32)[number]


def test_figures_by_hand():
    """Two speakers on two axes: the faces of one are taken for the other's half of the time."""
    voices = [
        Voice("a", axis(0), axis(0), axis(0)),
        Voice("a", axis(1), axis(0), axis(0)),
        Voice("b", axis(1), axis(1), axis(1)),
        Voice("b", axis(1), axis(1), axis(1)),
    ]
    figures = compare(voices)
    assert figures["seen"] == {"retrieval": 0.75, "own": 0.75, "other": 0.25}
    assert figures["heard"] == {"retrieval": 1.0, "own": 1.0, "other": 0.0}
    assert "| by the face | 75.0 % | 0.750 | 0.250 |" in table(figures)
    assert np.isnan(compare(voices[:2])["seen"]["retrieval"])


def test_a_clip_does_not_name_itself():
    """A speaker's only clip cannot be found by its own embedding."""
    voices = [Voice("a", axis(0), axis(0), axis(0)), *[Voice("b", axis(1), axis(1), axis(1))] * 2]
    assert compare(voices)["seen"]["retrieval"] == pytest.approx(2 / 3)


def test_embeddings_are_those_of_the_clip_alone():
    batch = small_diffv2s.clips(1, 20)
    mouth = np.pad(batch.mouth[0], ((0, 0), (4, 4), (4, 4)))
    record = Record("r", 20, speaker="a", mouth=mouth, audio=batch.audio[0], speaker_embedding=axis(3))
    system = evaluation_mode(filled(lambda: build(small_diffv2s.small_config(), Rngs(0))))
    (voice,) = embeddings(system, iter([record]))
    graphdef, weights = nnx.split(system)

    @jax.jit
    def embed(weights, batch):
        module = nnx.merge(graphdef, weights)
        heard = stacked_filterbank_jax(jnp.asarray(batch.audio), jnp.asarray(batch.length))
        return module.see(batch).speaker[0], module.hear(heard, jnp.ones((1, 20), bool))[0]

    seen, heard = embed(weights, dataclasses.replace(batch, speaker_embedding=None, speaker_id=None))
    np.testing.assert_allclose(voice.seen, seen, atol=1e-5)
    np.testing.assert_allclose(voice.heard, heard, atol=1e-5)
    assert np.abs(voice.seen - voice.heard).max() > 1e-3
    assert voice.speaker == "a" and voice.true is record.speaker_embedding


def test_the_command(talker_tokens, tmp_path, capsys):
    small_diffv2s.save_small(tmp_path / "model")
    data = ["--data", str(talker_tokens), "--split", "train"]
    options = ["--model", str(tmp_path / "model"), "--out", str(tmp_path / "figures.json")]
    assert cli.main(["voices", *data, *options]) == 0
    assert "clips of 2 speakers" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text())["speakers"] == 2
    assert cli.main(["voices", *data, *options, "--limit", "1"]) == 0
    alone = json.loads((tmp_path / "figures.json").read_text())
    assert alone["clips"] == 1 and alone["seen"]["retrieval"] is None and alone["seen"]["own"] is not None
    save_small(tmp_path / "svts")
    assert cli.main(["voices", *data, "--model", str(tmp_path / "svts")]) == 1
    assert "name a diffv2s" in capsys.readouterr().err


def test_data_without_embeddings(talker_data, tmp_path, capsys):
    small_diffv2s.save_small(tmp_path / "model")
    options = ["--model", str(tmp_path / "model"), "--data", str(talker_data), "--split", "train"]
    assert cli.main(["voices", *options]) == 1
    assert "prepare tokens" in capsys.readouterr().err
