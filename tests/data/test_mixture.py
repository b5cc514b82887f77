import dataclasses

import numpy as np
import pytest

from v2s_jax.data.loader import Loader, LoaderConfig
from v2s_jax.data.mixture import Mixture, open_dataset
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.data.tokens import Tagger, add_tokens
from v2s_jax.errors import V2SError

TWICE = 2  # times the same set


@pytest.fixture(scope="module")
def path(dataset_dir):
    return ",".join([str(dataset_dir)] * TWICE)


def test_records_of_one_set_follow_those_of_the_other(dataset_dir, path):
    one, mixture = ShardedDataset(dataset_dir, "train"), open_dataset(path, "train")
    assert isinstance(mixture, Mixture) and len(mixture) == 2 * len(one)
    assert mixture.ids == one.ids * 2 and mixture.speakers == one.speakers * 2
    np.testing.assert_array_equal(mixture.lengths, np.tile(one.lengths, 2))
    assert mixture.fingerprint != one.fingerprint
    for index in (0, 3, len(one) - 1):
        for place in (index, len(one) + index):
            read, expected = (dataset.read(i, {"audio"}) for dataset, i in ((mixture, place), (one, index)))
            assert read.id == expected.id
            np.testing.assert_array_equal(read.audio, expected.audio)
    have = one.indices_with({"audio"})
    assert len(have) < len(one)
    np.testing.assert_array_equal(mixture.indices_with({"audio"}), [*have, *(have + len(one))])


def test_batches_come_from_all_sets(path):
    loader = Loader(path, "train", LoaderConfig(batch_size=4, buckets=(32,)), fields={"audio"})
    assert loader.steps_per_epoch == len(loader.indices) // 4 == 5
    rows = np.concatenate([loader.plan(step).indices for step in range(5)])
    assert {row // len(loader.dataset) * 2 for row in rows} == {0} and len(set(rows)) == 20
    batch = next(loader.batches())
    assert batch.audio.shape == (4, 32 * 640) and batch.mouth is None
    assert loader.state(3)["order"]["fingerprint"] == loader.dataset.fingerprint


def test_face_embeddings_of_two_encoders_are_refused(dataset_dir, path, tmp_path):
    loader = Loader(path, "train", LoaderConfig(batch_size=4, buckets=(32,)), fields={"face_embedding"})
    assert next(loader.batches()).face_embedding.shape == (4, 5)
    longer = Tagger("face_embedding", {"encoder": "longer"}, lambda record: np.ones(7, np.float32), frozenset({"face"}))
    add_tokens(dataset_dir, tmp_path / "longer", [longer])
    with pytest.raises(V2SError, match="have face embeddings of 5 and of 7 numbers, .* one --face-encoder on all"):
        Loader(f"{dataset_dir},{tmp_path / 'longer'}", "train", fields={"face_embedding"})


def test_one_path_stays_what_it_was(dataset_dir):
    assert isinstance(open_dataset(dataset_dir, "val"), ShardedDataset)


def test_a_split_that_only_some_have(dataset_dir, path, tmp_path, monkeypatch):
    real = ShardedDataset(dataset_dir, "val")
    metadata = __import__("v2s_jax.data.mixture", fromlist=["read_metadata"]).read_metadata
    other = tmp_path / "other"
    other.symlink_to(dataset_dir)

    def without_val(path):
        found = metadata(path)
        splits = {name: split for name, split in found.splits.items() if name != "val" or "other" not in str(path)}
        return dataclasses.replace(found, splits=splits)

    monkeypatch.setattr("v2s_jax.data.mixture.read_metadata", without_val)
    assert len(Mixture([str(dataset_dir), str(other)], "val")) == len(real)
    with pytest.raises(V2SError, match="none of .*other has a split 'test'"):
        Mixture([str(dataset_dir), str(other)], "test")
