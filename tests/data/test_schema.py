import dataclasses

import numpy as np
import pytest

from v2s_jax.data import example, schema
from v2s_jax.data.schema import ARRAYS, FIELDS, Record, decode, encode
from v2s_jax.errors import V2SError


def assert_same(read: Record, written: Record, names=FIELDS) -> None:
    for name in names:
        got, expected = getattr(read, name), getattr(written, name)
        if expected is None:
            assert got is None, name
        elif not isinstance(expected, np.ndarray):
            assert got == pytest.approx(expected), name
        elif name == "audio":
            np.testing.assert_allclose(got, expected, atol=1 / 32768)
        elif name not in ("mouth", "face", "expression"):
            np.testing.assert_array_equal(got, expected, err_msg=name)
            assert got.dtype == expected.dtype
        else:
            assert got.shape == expected.shape and got.dtype == np.uint8
            assert np.abs(got.astype(int) - expected).max() <= 12, name


def test_every_record_field_is_in_the_table_and_no_other():
    assert set(FIELDS) == {field.name for field in dataclasses.fields(Record)}


def test_round_trip(records):
    for record in records.values():
        assert_same(decode(encode(record)), record)


def test_encoding_does_not_depend_on_the_run(records):
    record = next(iter(records.values()))
    assert encode(record) == encode(record)


def test_only_the_fields_asked_for_are_decoded(records):
    record = records["train/clip001"]
    read = decode(encode(record), {"pitch"})
    assert {name for name in ARRAYS if getattr(read, name) is not None} == {"pitch"}
    assert read.text == "número 1"


def test_window_cuts_everything_that_runs_along_the_clip(records):
    record = records["train/clip011"]
    assert record.n_frames == 300
    data = encode(record)
    whole, part = decode(data), decode(data, window=(250, 290))
    assert (part.n_frames, part.start_frame, part.end_frame) == (40, 250, 290)
    for name, field in FIELDS.items():
        if field.per_frame and getattr(whole, name) is not None:
            expected = getattr(whole, name)[250 * field.per_frame : 290 * field.per_frame]
            np.testing.assert_array_equal(getattr(part, name), expected, err_msg=name)
    np.testing.assert_array_equal(part.face, whole.face)


@pytest.mark.parametrize("name", ["mouth", "expression", "audio", "pitch", "units"])
def test_a_field_of_the_wrong_length_is_refused(records, name):
    record = records["train/clip001"]
    wrong = dataclasses.replace(record)
    object.__setattr__(wrong, name, getattr(record, name)[:-1])  # past the shape checks that tests switch on
    with pytest.raises(V2SError, match=f"train/clip001: {name} has shape"):
        encode(wrong)


def test_damaged_record_is_refused(records):
    data = encode(next(iter(records.values())))
    with pytest.raises(V2SError, match="prepare the data set again"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("name", ["speaker_embedding", "expression", "face_embedding"])
def test_a_field_unknown_to_an_old_record_is_absent(records, name):
    record = records["train/clip001"]
    values = {name: (field.kind, ()) for name, field in FIELDS.items()}
    for name, stored in schema.stored_values(encode(record)).items():
        values[name] = (FIELDS[name].kind, list(stored))
    del values[name]
    read = decode(example.serialize(values))
    assert getattr(read, name) is None and read.mouth is not None


def test_face_embeddings_of_any_length_are_stored(records):
    record = dataclasses.replace(records["train/clip001"], face_embedding=np.arange(512, dtype=np.float32))
    np.testing.assert_array_equal(decode(encode(record)).face_embedding, np.arange(512))
    object.__setattr__(record, "face_embedding", np.zeros((2, 3), np.float32))
    with pytest.raises(V2SError, match="face_embedding has shape"):
        encode(record)


def test_what_to_do_about_a_missing_field():
    assert "prepare tokens adds it" in schema.remedy("face_embedding")
    assert "prepare the data set again" in schema.remedy("expression")
    assert "prepare tokens" not in schema.remedy("mouth")
