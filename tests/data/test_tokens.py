import json
import threading

import numpy as np
import pytest

from v2s_jax.data import tokens
from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.schema import FIELDS, stored_values
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.data.staging import STAGING
from v2s_jax.data.tokens import Tagger, add_tokens
from v2s_jax.errors import V2SError

SPEAKER = Tagger("speaker_embedding", {"encoder": "mean"}, lambda record: np.full(256, record.audio.mean(), np.float32))
UNITS = Tagger("units", {"codebook": 3}, lambda record: np.arange(2 * record.n_frames, dtype=np.int16))


@pytest.fixture(scope="module")
def tagged(dataset_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("tagged") / "data"
    return out, add_tokens(dataset_dir, out, [SPEAKER, UNITS], jobs=2)


def test_records_get_the_fields_and_keep_the_others_to_the_bit(dataset_dir, tagged):
    for split in ("train", "val"):
        before, after = ShardedDataset(dataset_dir, split), ShardedDataset(tagged[0], split)
        assert after.ids == before.ids and after.speakers == before.speakers
        for index in range(len(before)):
            old, new = stored_values(before.raw(index)), stored_values(after.raw(index))
            for name in FIELDS.keys() - {"speaker_embedding", "units"}:
                assert list(new[name]) == list(old[name]), name
            record = after.read(index, {"audio", "speaker_embedding", "units"})
            if record.audio is None:
                assert record.speaker_embedding is None
                assert list(new["units"]) == list(old["units"])  # what it had
            else:
                np.testing.assert_allclose(record.speaker_embedding, record.audio.mean(), rtol=1e-5)
                np.testing.assert_array_equal(record.units, np.arange(2 * record.n_frames))


def test_counts_and_metadata(dataset_dir, tagged):
    out, summary = tagged
    assert summary.records == 15 and summary.counts["speaker_embedding"] == 14
    assert "speaker_embedding in 14 of 15 records" in str(summary)
    before, after = read_metadata(dataset_dir), read_metadata(out)
    assert after.corpus == before.corpus and after.splits["val"].n_frames == before.splits["val"].n_frames
    assert after.splits["train"].fields["speaker_embedding"] == 11
    assert after.splits["train"].fingerprint != before.splits["train"].fingerprint
    assert after.recipe["tokens"] == {"speaker_embedding": {"encoder": "mean"}, "units": {"codebook": 3}}
    described = [json.loads((folder / "dataset_info.json").read_text())["description"] for folder in (dataset_dir, out)]
    assert described[0] == described[1]


def test_tokens_can_be_added_to_tokens(tagged, tmp_path):
    again = Tagger("units", {"codebook": 4}, lambda record: np.ones(2 * record.n_frames, np.int16))
    add_tokens(tagged[0], tmp_path / "data", [again])
    record = ShardedDataset(tmp_path / "data", "val").read(0)
    assert (record.units == 1).all() and record.speaker_embedding is not None
    recipe = read_metadata(tmp_path / "data").recipe
    assert recipe["tokens"] == {"speaker_embedding": {"encoder": "mean"}, "units": {"codebook": 4}}


def test_interrupted_it_goes_on_and_gives_the_same(dataset_dir, tagged, tmp_path):
    calls, lock = [], threading.Lock()

    def counted(record, limit):
        with lock:
            calls.append(record.id)
            if len(calls) > limit:
                raise KeyboardInterrupt
        return SPEAKER.compute(record)

    def run(limit):
        taggers = [Tagger(SPEAKER.field, SPEAKER.about, lambda record: counted(record, limit)), UNITS]
        return add_tokens(dataset_dir, tmp_path / "data", taggers)

    with pytest.raises(KeyboardInterrupt):
        run(5)
    assert not (tmp_path / "data" / "v2s.json").exists()
    staged = len(list((tmp_path / "data" / STAGING).rglob("*.example")))
    assert 5 <= staged < 15
    calls.clear()
    run(100)
    assert len(calls) == 14 - 5
    assert read_metadata(tmp_path / "data").splits == read_metadata(tagged[0]).splits
    assert not (tmp_path / "data" / STAGING).exists()


def test_records_can_be_computed_together(dataset_dir, tagged, tmp_path):
    sizes = []

    def together(records):
        sizes.append([record.n_frames for record in records])
        return [SPEAKER.compute(record) for record in records]

    taggers = [Tagger(SPEAKER.field, SPEAKER.about, SPEAKER.compute, together=together), UNITS]
    add_tokens(dataset_dir, tmp_path / "data", taggers, at_once=4)
    assert sorted(map(len, sizes)) == [3, 3, 4, 4]  # of 12, one of which has no sound, and of 3
    assert all(size == sorted(size) for size in sizes)
    assert read_metadata(tmp_path / "data").splits == read_metadata(tagged[0]).splits


def test_what_is_finished_is_left_alone(dataset_dir, tagged):
    def nothing(record):
        raise AssertionError("not to be computed again")

    taggers = [Tagger(tagger.field, tagger.about, nothing) for tagger in (SPEAKER, UNITS)]
    summary = add_tokens(dataset_dir, tagged[0], taggers)
    assert summary.nothing_to_do and "nothing to do" in str(summary) and summary.counts == tagged[1].counts
    with pytest.raises(V2SError, match="already a finished data set, of other records or tokens"):
        add_tokens(dataset_dir, tagged[0], [UNITS])


def test_notes_of_the_data_set_go_along(dataset_dir, tmp_path, monkeypatch):
    notes = tmp_path / "skipped.jsonl"
    notes.write_text('{"id": "a", "path": "a.mp4", "reason": "dark", "details": ""}\n')
    monkeypatch.setattr(
        tokens, "_lines", lambda path, real=tokens._lines: real(notes) if path.name == notes.name else []
    )
    add_tokens(dataset_dir, tmp_path / "data", [UNITS])
    assert (tmp_path / "data" / "skipped.jsonl").read_text() == notes.read_text()


def test_mistakes_are_sentences(dataset_dir, tmp_path):
    with pytest.raises(V2SError, match="no token was asked for"):
        add_tokens(dataset_dir, tmp_path / "data", [])
    with pytest.raises(V2SError, match="is the data set itself"):
        add_tokens(dataset_dir, dataset_dir / ".." / dataset_dir.name, [UNITS])
    with pytest.raises(V2SError, match="not a prepared data set"):
        add_tokens(tmp_path, tmp_path / "data", [UNITS])
    needy = Tagger("units", {}, UNITS.compute, frozenset({"text_tokens"}))
    with pytest.raises(V2SError, match="have no text_tokens; v2s-jax prepare tokens adds it"):
        add_tokens(dataset_dir, tmp_path / "data", [needy])
    wrong = Tagger("units", {}, lambda record: np.zeros(3, np.int16))
    with pytest.raises(V2SError, match=r"units has shape \(3,\), but a clip of"):
        add_tokens(dataset_dir, tmp_path / "data", [wrong])
    assert not (tmp_path / "data" / "v2s.json").exists()
