import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest

from v2s_jax.data.buckets import EMPTY
from v2s_jax.data.loader import Loader, LoaderConfig
from v2s_jax.data.speakers import SpeakerPlan
from v2s_jax.errors import V2SError

SPEAKERS = ["a"] * 7 + ["b"] * 3 + ["c"] * 2 + ["d"] * 4
INDICES = np.arange(100, 116)
LENGTHS = np.array([30] * 15 + [130])


def plan(batch_size=6, utterances=3, seed=0, indices=INDICES, speakers=SPEAKERS, sources=(0,) * 16):
    lengths, sources = LENGTHS[: len(indices)], sources[: len(indices)]
    return SpeakerPlan(indices, lengths, speakers, sources, (20, 40), batch_size, utterances, seed)


def speaker_of(index):
    return SPEAKERS[index - 100]


def test_rows_are_grouped_by_speaker_and_clips_differ():
    for step in range(50):
        batch = plan().batch(step)
        assert batch.bucket == 40 and len(set(batch.indices.tolist())) == 6
        first, second = ({speaker_of(index) for index in group} for group in batch.indices.reshape(2, 3))
        assert len(first) == len(second) == 1 and first != second


def test_a_batch_is_a_function_of_seed_and_step():
    one, other = plan(), plan()
    ahead = [other.batch(step) for step in (9, 3, 5)]
    for step, batch in zip((9, 3, 5), ahead, strict=True):
        np.testing.assert_array_equal(batch.indices, one.batch(step).indices)
    assert any((plan(seed=1).batch(step).indices != one.batch(step).indices).any() for step in range(3))


def test_every_speaker_comes_equally_often_and_those_with_too_few_clips_never():
    counts = Counter(speaker_of(index) for step in range(600) for index in plan().batch(step).indices)
    assert counts.keys() == {"a", "b", "d"}
    assert all(abs(count / sum(counts.values()) - 1 / 3) < 0.04 for count in counts.values())


def test_the_few_speakers_of_a_small_data_set_come_more_often():
    """First drawn: d alone in its set half of the time, a and b a quarter each; the second is one of those left."""
    mixed = plan(sources=[0] * 12 + [1] * 4)
    counts = Counter(speaker_of(index) for step in range(900) for index in mixed.batch(step).indices[::3])
    assert counts["d"] / 900 == pytest.approx(1 / 2 + 1 / 2 * 2 / 3, abs=0.05)
    assert counts["a"] / 900 == pytest.approx(counts["b"] / 900, abs=0.08)


def test_steps_of_an_epoch():
    assert plan().steps_per_epoch == 14 // 6
    assert plan(batch_size=9).steps_per_epoch == 1
    assert plan(batch_size=12).steps_per_epoch == 0  # four speakers asked for


@pytest.mark.parametrize("batch_size, utterances", [(7, 3), (3, 3)])
def test_a_batch_must_hold_two_speakers(batch_size, utterances):
    with pytest.raises(V2SError, match=f"batch_size of {batch_size} does not hold two or more speakers"):
        plan(batch_size, utterances)


def test_evaluation_takes_clips_once_beside_other_speakers():
    """Groups of three: a has two (of 7 clips), b and d one each; a's second has no other beside it."""
    (batch, *rest) = plan(batch_size=9).evaluation()
    assert not rest
    assert batch.indices.tolist() == [100, 101, 102, 107, 108, 109, 112, 113, 114]
    assert batch.bucket == 40
    padded = plan(batch_size=12).evaluation()[0]
    assert padded.indices.tolist() == [100, 101, 102, 107, 108, 109, 112, 113, 114, *[EMPTY] * 3]


def test_evaluation_reads_whole_clips_and_leaves_out_a_speaker_alone():
    """In pairs: a and c, b and d, then a and d, whose last clip is 130 frames long; a's third pair is alone."""
    batches = plan(batch_size=6, utterances=2).evaluation()
    assert [batch.indices.tolist() for batch in batches] == [
        [100, 101, 110, 111, EMPTY, EMPTY],
        [107, 108, 112, 113, EMPTY, EMPTY],
        [102, 103, 114, 115, EMPTY, EMPTY],
    ]
    assert [batch.bucket for batch in batches] == [40, 40, 160]


def test_evaluation_needs_two_speakers():
    with pytest.raises(V2SError, match="no two speakers with 3 clips each"):
        plan(indices=INDICES[:9], speakers=SPEAKERS[:9]).evaluation()


CONFIG = LoaderConfig(batch_size=6, buckets=(20,), prefetch=2)


def load(dataset_dir, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return Loader(dataset_dir, "train", config, seed=3, fields={"audio"}, utterances=3)


def test_the_loader_reads_the_rows_of_the_plan_and_resumes(dataset_dir):
    loader = load(dataset_dir)
    batches = list(itertools.islice(loader.batches(), 5))
    for step, batch in enumerate(batches):
        names = [loader.dataset.speakers[index] for index in loader.plan(step).indices]
        assert names[0] == names[1] == names[2] != names[3] == names[4] == names[5]
        assert batch.audio.shape == (6, 20 * 640)
    again = load(dataset_dir, threads=1)
    start = again.check_state(loader.state(3))
    for ours, expected in zip(again.batches(start), batches[3:], strict=False):
        np.testing.assert_array_equal(ours.audio, expected.audio)
    halves = [next(load(dataset_dir).batches(0, rows)).audio for rows in ([0, 1, 2], [3, 4, 5])]
    np.testing.assert_array_equal(np.concatenate(halves), batches[0].audio)


def test_an_epoch_of_the_loader(dataset_dir):
    loader = load(dataset_dir)
    for plan, batch in zip(loader.epoch_plan(), loader.epoch(), strict=True):
        np.testing.assert_array_equal(batch.length, loader.dataset.lengths[plan.indices])


def test_too_few_speakers_are_named(dataset_dir):
    with pytest.raises(V2SError, match="train of .* has 3 speakers with 3 clips or more, and a batch takes 4"):
        load(dataset_dir, batch_size=12).batches()


def test_a_checkpoint_of_another_grouping_is_refused(dataset_dir):
    plain = Loader(dataset_dir, "train", CONFIG, seed=3, fields={"audio"})
    with pytest.raises(V2SError, match="data with utterances 3"):
        plain.check_state(load(dataset_dir).state(5))
    with pytest.raises(V2SError, match="data with utterances None"):
        load(dataset_dir).check_state(plain.state(5))
    assert "utterances" not in plain.state(5)["order"]  # checkpoints from before there were groups go on
