import json

import numpy as np
import pytest

from tests import small_diffv2s
from tests.data.conftest import NoCorpus, make_record
from tests.evaluation.test_command import run
from tests.small_model import save_small
from v2s_jax.data.builder import build
from v2s_jax.data.metadata import write_metadata
from v2s_jax.data.schema import encode
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.split import FIELDS, synthesize_split
from v2s_jax.media.audio import read_wav


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data set of five test records, one of them without sound, and a model."""
    top = tmp_path_factory.mktemp("prepared")
    records = [make_record(number, 12 + number, "test", silent=number == 2) for number in range(5)]
    paths = [top / f"{record.n_frames}.example" for record in records]
    for path, record in zip(paths, records, strict=True):
        path.write_bytes(encode(record))
    folder, metadata = build(NoCorpus(), {"test": paths}, top / "built")
    write_metadata(folder, metadata)
    save_small(top / "model")
    return top / "model", folder, records


def test_a_split_is_spoken_and_scored(prepared, tmp_path, capsys):
    model, data, records = prepared
    names = ["--metrics", "mcd,voicing", "--jobs", 1]
    status = run("--model", model, "--data", data, "--out", tmp_path / "out", *names)
    assert status == 3  # the record without sound
    results = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {clip["name"] for clip in results["clips"]} == {record.id for record in records if record.audio is not None}
    assert list(results["failures"]) == [records[2].id]
    assert results["about"] == {"model": str(model), "data": str(data), "split": "test"}
    for record in (records[0], records[4]):
        spoken = read_wav(tmp_path / "out" / "generated" / f"{record.id}.wav")
        assert len(spoken) == 640 * record.n_frames
        recording = read_wav(tmp_path / "out" / "recording" / f"{record.id}.wav")
        np.testing.assert_allclose(recording, record.audio, atol=1e-3)
    assert "| MCD (dB) ↓" in capsys.readouterr().out


def test_models_may_look_at_all_that_silent_clips_have_where_it_is_there(prepared):
    assert {"mouth", "face", "expression", "speaker_embedding", "face_embedding", "audio", "draft"} == FIELDS
    dataset = ShardedDataset(prepared[1], "test")
    whole, silent = (dataset.read(dataset.ids.index(prepared[2][number].id), FIELDS) for number in (0, 2))
    assert whole.expression.shape == (12, 48, 48) and whole.face_embedding.shape == (5,)
    assert silent.mouth is not None and silent.expression is None and silent.face_embedding is None


def test_a_sampler_set_to_nothing_is_kept_in_mind(prepared, tmp_path):
    model, data, _ = prepared
    with pytest.raises(V2SError, match="this model's sampler has no 'steps': it knows none"):
        run("--model", model, "--data", data, "--out", tmp_path / "out", "--metrics", "mcd", "--sampler", "steps=1")
    settings = small_diffv2s.small_config(drop=0.1)
    small_diffv2s.save_small(tmp_path / "model", system=settings, synthesis={"vocoder": "griffin_lim"})
    options = ["--metrics", "mcd", "--jobs", 1, "--limit", 1, "--sampler", "classifier_free=0"]
    assert run("--model", tmp_path / "model", "--data", data, "--out", tmp_path / "out", *options) == 0
    results = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert results["about"]["sampler.classifier_free"] == "0"
    assert "sampler.classifier_free: <b>0</b>" in (tmp_path / "out" / "report.html").read_text()


def test_copy_synthesis_is_scored(prepared, tmp_path, capsys):
    _, data, records = prepared
    names = ["--metrics", "mcd", "--jobs", 1, "--limit", 1]
    spoken_by = ["--vocoder", "griffin_lim", "--room-below", 200]
    assert run(*spoken_by, "--data", data, "--out", tmp_path / "out", *names) == 0
    results = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    about = {"vocoder": "griffin_lim", "room below": "200 dB", "data": str(data), "split": "test"}
    assert results["about"] == about
    name = results["clips"][0]["name"]
    spoken, recording = (read_wav(tmp_path / "out" / kind / f"{name}.wav") for kind in ("generated", "recording"))
    assert len(spoken) == len(recording)
    # Griffin-Lim of a steady tone's own mel is near it in all but phase.
    assert results["clips"][0]["values"]["generated"]["mcd"] < 10
    assert "MCD" in capsys.readouterr().out


def test_what_is_evened_out_is_heard(talker_data, tmp_path):
    def spoken(name, **options):
        pairs, _ = synthesize_split(None, talker_data, "train", tmp_path / name, 1, "griffin_lim", **options)
        return read_wav(pairs[0].generated)

    assert np.abs(spoken("room") - spoken("hum", room_below=20.0)).max() > 1e-3


def test_a_limit_takes_clips_from_all_over_the_split(prepared, tmp_path):
    model, data, _ = prepared
    pairs, failures = synthesize_split(str(model), data, "test", tmp_path, limit=2)
    ids = ShardedDataset(data, "test").ids
    assert {*failures, *(pair.name for pair in pairs)} == {ids[0], ids[2]}


def test_what_cannot_be_evaluated_is_one_sentence(prepared, tmp_path):
    model, data, _ = prepared
    with pytest.raises(V2SError, match="has no split 'train'"):
        synthesize_split(str(model), data, "train", tmp_path)
    with pytest.raises(V2SError):
        synthesize_split(str(tmp_path / "no_model"), data, "test", tmp_path)
    (tmp_path / "out").write_text("a file in the way")
    with pytest.raises(V2SError, match="cannot be made"):
        synthesize_split(str(model), data, "test", tmp_path / "out", limit=1)
