import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from v2s_jax.data.metadata import METADATA_FILE, index_split, read_metadata
from v2s_jax.data.schema import FIELDS, stored_values
from v2s_jax.data.shards import ShardedDataset, iterate_shards
from v2s_jax.errors import V2SError


@pytest.fixture
def copy_of_dataset(dataset_dir, tmp_path):
    return shutil.copytree(dataset_dir, tmp_path / "copy")


def edit_metadata(folder, **changes):
    path = folder / METADATA_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("split", ["train", "val"])
def test_records_are_those_written(dataset_dir, records, split):
    dataset = ShardedDataset(dataset_dir, split)
    assert sorted(dataset.ids) == sorted(id for id in records if id.startswith(f"{split}/"))
    for index in range(len(dataset)):
        read = dataset.read(index)
        written = records[dataset.ids[index]]
        assert (read.id, read.n_frames, read.speaker, read.text) == (
            written.id,
            dataset.lengths[index],
            dataset.speakers[index],
            written.text,
        )
        assert (read.audio is None) == (written.audio is None)
        if written.audio is not None:
            np.testing.assert_array_equal(read.pitch, written.pitch)


@pytest.mark.filterwarnings(
    r"ignore:label\(\) is deprecated:DeprecationWarning"
)  # TFDS, with the protobuf that Beam takes
def test_same_as_the_reader_of_tfds(dataset_dir):
    """Field by field and in the same order."""
    theirs = tfds.builder_from_directory(dataset_dir).as_data_source(split="train")
    ours = ShardedDataset(dataset_dir, "train")
    assert len(ours) == len(theirs)
    for index, example in enumerate(theirs):
        assert set(example) == set(FIELDS)
        for name, values in stored_values(ours.raw(index)).items():
            expected = example[name] if not FIELDS[name].scalar else [example[name]]
            assert len(values) == len(expected), name
            if FIELDS[name].kind == "bytes_list":
                assert list(values) == list(expected), name
            else:
                np.testing.assert_array_equal(np.asarray(values, FIELDS[name].dtype), expected, err_msg=name)


def test_index_is_in_the_order_of_the_shards(dataset_dir):
    for name, split in read_metadata(dataset_dir).splits.items():
        again = index_split(split.shards, iterate_shards(dataset_dir, split.shards))
        assert again == split, name


def test_fingerprint_tells_content_and_order(dataset_dir):
    split = read_metadata(dataset_dir).splits["val"]
    data = list(iterate_shards(dataset_dir, split.shards))
    assert index_split(split.shards, data).fingerprint == split.fingerprint
    assert index_split(split.shards, data[::-1]).fingerprint != split.fingerprint
    assert index_split(split.shards, data[:-1]).fingerprint != split.fingerprint


def test_fields_say_what_is_there(dataset_dir, records):
    dataset = ShardedDataset(dataset_dir, "train")
    assert dataset.fields == {"mouth", "face"}
    with_units = [dataset.ids[i] for i in dataset.indices_with({"units", "audio"})]
    expected = [id for id in dataset.ids if records[id].units is not None and records[id].audio is not None]
    assert with_units == expected and 0 < len(expected) < len(dataset)


def test_a_field_nobody_has_is_refused(dataset_dir):
    with pytest.raises(V2SError, match="have no speaker_embedding"):
        ShardedDataset(dataset_dir, "train").indices_with({"mouth", "speaker_embedding"})


def test_a_data_set_from_before_expressions_is_to_be_prepared_again(copy_of_dataset):
    splits = json.loads((copy_of_dataset / METADATA_FILE).read_text())["splits"]
    for split in splits.values():
        del split["fields"]["expression"]
    edit_metadata(copy_of_dataset, splits=splits)
    with pytest.raises(V2SError, match="have no expression; .*prepare the data set again, into another folder"):
        ShardedDataset(copy_of_dataset, "val").indices_with({"expression"})


def test_another_schema_version_is_refused(copy_of_dataset):
    edit_metadata(copy_of_dataset, schema_version=99)
    with pytest.raises(V2SError, match="schema version 99, but this v2s_jax reads version 1; prepare"):
        ShardedDataset(copy_of_dataset, "train")


def test_folders_that_are_no_data_set_are_refused(tmp_path):
    with pytest.raises(V2SError, match="not a prepared data set"):
        ShardedDataset(tmp_path, "train")
    with pytest.raises(V2SError, match="not a prepared data set"):
        ShardedDataset(tmp_path / "missing", "train")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\x00", b'{"schema_version": 1'])
def test_damaged_metadata_is_refused(copy_of_dataset, content):
    (copy_of_dataset / METADATA_FILE).write_bytes(content)
    with pytest.raises(V2SError, match="prepare the data set again"):
        ShardedDataset(copy_of_dataset, "train")


def test_unknown_split_is_refused(dataset_dir):
    with pytest.raises(V2SError, match="no split 'test'; its splits are train, val"):
        ShardedDataset(dataset_dir, "test")


def test_missing_shard_is_refused(copy_of_dataset):
    next(copy_of_dataset.glob("*val*")).unlink()
    with pytest.raises(V2SError, match="val.* is missing"):
        ShardedDataset(copy_of_dataset, "val")


def test_truncated_shard_is_refused(copy_of_dataset):
    path = next(copy_of_dataset.glob("*val*"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(V2SError, match="cannot be read .* prepare it again"):
        ShardedDataset(copy_of_dataset, "val").read(0)


def test_pickles_small_and_reads_on(dataset_dir):
    dataset = ShardedDataset(dataset_dir, "val", cache=True)
    data = dataset.raw(1)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.raw(1) == data


def test_cache_keeps_records(copy_of_dataset):
    dataset = ShardedDataset(copy_of_dataset, "val", cache=True)
    assert dataset.raw(0) is dataset.raw(0)


def test_reading_needs_neither_tfds_nor_video_packages():
    unwanted = {"av", "dlib", "tensorflow_datasets", "tensorflow"}
    code = f"import sys, v2s_jax.data.loader; print(sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
