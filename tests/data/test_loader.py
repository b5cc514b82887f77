import dataclasses
import itertools

import numpy as np
import pytest

from v2s_jax.data.augment import NO_AUGMENT, Augment
from v2s_jax.data.batch import Batch
from v2s_jax.data.buckets import EMPTY
from v2s_jax.data.loader import Loader, LoaderConfig
from v2s_jax.errors import V2SError
from v2s_jax.features.text import characters

CONFIG = LoaderConfig(batch_size=4, buckets=(32, 80), prefetch=2)
FIELDS = frozenset({"mouth", "audio", "face", "expression", "face_embedding", "pitch", "energy", "draft"})


def take(loader: Loader, count: int, start: int = 0, **host) -> list[Batch]:
    return list(itertools.islice(loader.batches(start, **host), count))


def assert_equal(one: Batch, other: Batch) -> None:
    for field in dataclasses.fields(Batch):
        first, second = getattr(one, field.name), getattr(other, field.name)
        assert (first is None) == (second is None), field.name
        if first is not None:
            np.testing.assert_array_equal(first, second, err_msg=field.name)


def test_shapes_dtypes_and_fields(dataset_dir):
    batch = take(Loader(dataset_dir, "train", CONFIG, fields=FIELDS), 1)[0]
    bucket = batch.mouth.shape[1]
    assert bucket in CONFIG.buckets
    expected = {
        "length": ((4,), np.int32),
        "mouth": ((4, bucket, 88, 88), np.uint8),
        "audio": ((4, bucket * 640), np.float32),
        "face": ((4, 4, 112, 112, 3), np.uint8),
        "expression": ((4, bucket, 48, 48), np.uint8),
        "face_embedding": ((4, 5), np.float32),
        "pitch": ((4, bucket * 4), np.float32),
        "energy": ((4, bucket * 4), np.float32),
        "draft": ((4, bucket * 4, 80), np.float16),
    }
    for field in dataclasses.fields(Batch):
        value = getattr(batch, field.name)
        assert (value is not None) == (field.name in expected), field.name
        if value is not None:
            assert (value.shape, value.dtype) == expected[field.name], field.name


def test_beyond_length_there_are_zeros(dataset_dir):
    for batch in take(Loader(dataset_dir, "train", CONFIG, fields=FIELDS), 4):
        for row, length in enumerate(batch.length):
            assert length > 0 and batch.mouth[row, :length].any()
            assert not batch.mouth[row, length:].any()
            assert batch.expression[row, :length].any() and not batch.expression[row, length:].any()
            assert not batch.audio[row, length * 640 :].any()
            assert not batch.pitch[row, length * 4 :].any()


def test_rows_hold_the_record_of_the_plan(dataset_dir, records):
    config = dataclasses.replace(CONFIG, augment=NO_AUGMENT, buckets=(32, 400))
    loader = Loader(dataset_dir, "train", config, seed=7, fields=FIELDS)
    for step, batch in enumerate(take(loader, 5)):
        for row, index in enumerate(loader.plan(step).indices):
            record = records[loader.dataset.ids[index]]
            assert batch.length[row] == record.n_frames
            np.testing.assert_allclose(batch.audio[row, : 640 * record.n_frames], record.audio, atol=1 / 32768)
            np.testing.assert_array_equal(batch.pitch[row, : 4 * record.n_frames], record.pitch)
            np.testing.assert_array_equal(batch.face_embedding[row], record.face_embedding)
            assert np.abs(batch.expression[row, : record.n_frames].astype(int) - record.expression).max() <= 12
            error = np.abs(batch.mouth[row, : record.n_frames].astype(int) - record.mouth[:, 4:92, 4:92])
            assert error.max() <= 12


@pytest.mark.parametrize("workers, threads", [(0, 1), (0, 4), (2, 1)])
def test_batches_do_not_depend_on_workers_or_threads(dataset_dir, workers, threads):
    config = dataclasses.replace(CONFIG, workers=workers, threads=threads)
    loaded = take(Loader(dataset_dir, "train", config, seed=3), 6)
    for ours, plain in zip(loaded, take(Loader(dataset_dir, "train", CONFIG, seed=3), 6), strict=True):
        assert_equal(ours, plain)


def test_hosts_share_the_rows_of_the_same_batch(dataset_dir):
    whole = take(Loader(dataset_dir, "train", CONFIG, seed=3, fields=FIELDS), 5)
    shares = [range(0, CONFIG.batch_size, 2), range(1, CONFIG.batch_size, 2)]  # not neighbours, as on some meshes
    parts = [take(Loader(dataset_dir, "train", CONFIG, seed=3, fields=FIELDS), 5, rows=rows) for rows in shares]
    order = np.argsort(np.concatenate(shares))
    for step, batch in enumerate(whole):
        joined = {
            field.name: None
            if value is None
            else np.concatenate([getattr(part[step], field.name) for part in parts])[order]
            for field in dataclasses.fields(Batch)
            for value in [getattr(batch, field.name)]
        }
        assert_equal(Batch(**joined), batch)


def test_resuming_goes_on_as_if_never_stopped(dataset_dir):
    loader = Loader(dataset_dir, "train", CONFIG, seed=3)
    straight = take(loader, 9)
    again = Loader(dataset_dir, "train", CONFIG, seed=3)
    start = again.check_state(loader.state(5))
    for ours, expected in zip(take(again, 4, start), straight[5:], strict=True):
        assert_equal(ours, expected)


def test_augmentation_changes_from_epoch_to_epoch(dataset_dir):
    config = dataclasses.replace(CONFIG, batch_size=1, buckets=(400,))
    loader = Loader(dataset_dir, "val", config, seed=1)
    seen = {}
    for step, batch in enumerate(take(loader, 12)):
        seen.setdefault(int(loader.plan(step).indices[0]), []).append(batch.mouth.tobytes())
    assert sorted(seen) == [0, 1, 2]
    assert all(len(set(versions)) == 4 for versions in seen.values())


def test_expressions_are_mirrored_and_hidden_with_the_mouth(dataset_dir):
    config = LoaderConfig(batch_size=4, buckets=(32, 400), augment=Augment(crop=False, mask_seconds=0.4))
    loader = Loader(dataset_dir, "train", config, seed=5, fields={"mouth", "expression"})
    mirrored, hidden = [], 0
    for step, batch in enumerate(take(loader, 6)):
        for row, index in enumerate(loader.plan(step).indices):
            record = loader.dataset.read(int(index), {"mouth", "expression"})
            pairs = [
                (batch.mouth[row, : record.n_frames], record.mouth[:, 4:92, 4:92]),
                (batch.expression[row, : record.n_frames], record.expression),
            ]
            same = [[(got == true[:, :, ::way]).all((1, 2)) for way in (1, -1)] for got, true in pairs]
            np.testing.assert_array_equal(*same)
            kept = max(same[0], key=np.sum)
            mirrored.append(kept is same[0][1])
            hidden += (~kept).sum()
            assert 0.3 < kept.mean()
    assert 4 < sum(mirrored) < 20 and hidden > 20


def test_long_clips_give_random_windows_with_sound_and_picture_together(dataset_dir, records):
    """The audio window is found in the clip, and the mouth frames next to it are those of the same place."""
    config = LoaderConfig(batch_size=1, buckets=(20,), augment=NO_AUGMENT)
    loader = Loader(dataset_dir, "train", config, seed=0, fields=FIELDS)
    starts = set()
    for step, batch in enumerate(take(loader, 30)):
        record = records[loader.dataset.ids[loader.plan(step).indices[0]]]
        if record.n_frames <= 20:
            continue
        assert batch.length[0] == 20
        windows = np.lib.stride_tricks.sliding_window_view(record.pitch, 80)[::4]
        start = int(np.flatnonzero((windows == batch.pitch[0]).all(1))[0])
        starts.add((record.id, start))
        np.testing.assert_allclose(batch.audio[0], record.audio[640 * start : 640 * (start + 20)], atol=1 / 32768)
        np.testing.assert_array_equal(batch.draft[0], record.draft[4 * start : 4 * (start + 20)])
        frames = record.mouth[start : start + 20, 4:92, 4:92].astype(int)
        assert np.abs(batch.mouth[0].astype(int) - frames).max() <= 12
    assert len(starts) > 15


def test_records_without_a_field_are_left_out(dataset_dir):
    silent = Loader(dataset_dir, "train", CONFIG, fields={"mouth"})
    heard = Loader(dataset_dir, "train", CONFIG, fields={"mouth", "audio"})
    assert len(silent.indices) == len(heard.indices) + 1


def test_characters_are_those_of_whole_clips(dataset_dir, records):
    texts = {tuple(characters(record.text)) for record in records.values()}
    whole = dataclasses.replace(CONFIG, buckets=(32, 400))
    loader = Loader(dataset_dir, "train", whole, fields={"characters"})
    for codes in (row[row > 0] for batch in take(loader, 2) for row in batch.characters):
        assert tuple(codes) in texts
    cut = Loader(dataset_dir, "train", dataclasses.replace(CONFIG, buckets=(4,)), fields={"characters"})
    assert not any(batch.characters.any() for batch in take(cut, 2))


def test_speakers_are_numbered_by_their_names(dataset_dir, records):
    config = LoaderConfig(batch_size=5, buckets=(80,), keep_partial=True)
    numbers = {}
    for split in ("train", "val"):
        loader = Loader(dataset_dir, split, config, fields={"speaker_id"})
        for step, batch in enumerate(take(loader, 4)):
            assert batch.speaker_id.dtype == np.int32 and batch.speaker_id.shape == (5,) and batch.mouth is None
            for number, index in zip(batch.speaker_id, loader.plan(step).indices, strict=True):
                speaker = "nobody" if index == EMPTY else records[loader.dataset.ids[index]].speaker
                numbers.setdefault(speaker, set()).add(int(number))
    assert numbers.pop("nobody") == {0}
    assert numbers.keys() == {"s0", "s1", "s2"} and all(len(own) == 1 for own in numbers.values())
    assert len(set.union(*numbers.values())) == 3 and min(set.union(*numbers.values())) > 0


def test_evaluation_sees_every_clip_once_whole_and_centred(dataset_dir, records):
    loader = Loader(dataset_dir, "train", CONFIG, fields={"mouth"})
    seen = []
    for plan, batch in zip(loader.epoch_plan(), loader.epoch(), strict=True):
        for row, index in enumerate(plan.indices):
            if index == EMPTY:
                assert batch.length[row] == 0 and not batch.mouth[row].any()
                continue
            record = records[loader.dataset.ids[index]]
            seen.append(record.id)
            assert batch.length[row] == record.n_frames
            error = np.abs(batch.mouth[row, : record.n_frames].astype(int) - record.mouth[:, 4:92, 4:92])
            assert error.max() <= 12
    assert sorted(seen) == sorted(id for id in records if id.startswith("train/"))


def test_partial_batches_are_kept_on_request(dataset_dir):
    config = LoaderConfig(batch_size=5, buckets=(80,), keep_partial=True)
    loader = Loader(dataset_dir, "val", config)
    batch = take(loader, 1)[0]
    assert loader.steps_per_epoch == 1
    assert sorted(batch.length)[:2] == [0, 0] and (batch.length > 0).sum() == 3


@pytest.mark.parametrize(
    "changes, seed, name",
    [
        ({"batch_size": 2}, 3, "batch_size"),
        ({"buckets": (80,)}, 3, "buckets"),
        ({"augment": Augment(flip=0.0)}, 3, "augment"),
        ({}, 4, "seed"),
    ],
)
def test_a_checkpoint_of_another_order_is_refused(dataset_dir, changes, seed, name):
    state = Loader(dataset_dir, "train", CONFIG, seed=3).state(5)
    other = Loader(dataset_dir, "train", dataclasses.replace(CONFIG, **changes), seed=seed)
    with pytest.raises(V2SError, match=f"data with {name} "):
        other.check_state(state)


def test_another_number_of_workers_may_resume(dataset_dir):
    state = Loader(dataset_dir, "train", CONFIG, seed=3).state(5)
    other = Loader(dataset_dir, "train", dataclasses.replace(CONFIG, workers=2, threads=1), seed=3)
    assert state["workers"] == 0 and other.check_state(state) == 5


def test_impossible_settings_are_refused(dataset_dir):
    with pytest.raises(V2SError, match="no field 'mel'"):
        Loader(dataset_dir, "train", CONFIG, fields={"mel"})
    with pytest.raises(V2SError, match="must ascend"):
        LoaderConfig(buckets=(80, 32))
    with pytest.raises(V2SError, match="batch_size of 1 or more"):
        LoaderConfig(batch_size=0)
    with pytest.raises(V2SError, match="fewer than the batch_size"):
        Loader(dataset_dir, "val", CONFIG).batches()
