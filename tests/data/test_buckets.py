from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.data.buckets import EMPTY, TrainingPlan, evaluation_plan

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=60).map(np.asarray)
BUCKETS = st.lists(st.integers(1, 200), min_size=1, max_size=4, unique=True).map(sorted)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, BUCKETS, st.integers(1, 8), st.booleans(), st.integers(0, 3))
def test_an_epoch_takes_every_clip_once(lengths, buckets, batch_size, keep_partial, epoch):
    indices = np.arange(len(lengths)) * 10  # the plan names clips by index, not by place
    plan = TrainingPlan(indices, lengths, buckets, batch_size, seed=5, keep_partial=keep_partial)
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    batches = [plan.batch(step) for step in steps]
    assert all(len(batch.indices) == batch_size for batch in batches)
    taken = Counter(int(i) for batch in batches for i in batch.indices if i != EMPTY)
    assert set(taken) <= set(indices.tolist()) and max(taken.values(), default=1) == 1
    left_out = len(lengths) - sum(taken.values())
    assert left_out == (0 if keep_partial else len(lengths) % batch_size)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, BUCKETS, st.integers(1, 8))
def test_clips_fit_their_bucket_unless_longer_than_all(lengths, buckets, batch_size):
    plan = TrainingPlan(np.arange(len(lengths)), lengths, buckets, batch_size, seed=5)
    for step in range(plan.steps_per_epoch):
        batch = plan.batch(step)
        assert batch.bucket in buckets
        assert batch.bucket == buckets[-1] or lengths[batch.indices].max() <= batch.bucket


def test_the_plan_is_a_function_of_seed_and_step():
    lengths = np.random.default_rng(0).integers(1, 100, 50)
    first = TrainingPlan(np.arange(50), lengths, (50, 100), 4, seed=1)
    second = TrainingPlan(np.arange(50), lengths, (50, 100), 4, seed=1)
    steps = np.random.default_rng(1).permutation(100)
    for step in range(100):
        first.batch(step)
    for step in steps.tolist():  # in any order, many epochs apart
        np.testing.assert_array_equal(first.batch(step).indices, second.batch(step).indices)


def test_threads_may_be_epochs_apart():
    """Epochs of one batch, so that threads keep dropping each other's plans."""
    plan = TrainingPlan(np.arange(5), np.full(5, 10), (10,), 4, seed=1)
    with ThreadPoolExecutor(8) as pool:
        shared = list(pool.map(plan.batch, range(400)))
    for step in range(400):
        alone = TrainingPlan(np.arange(5), np.full(5, 10), (10,), 4, seed=1).batch(step)
        np.testing.assert_array_equal(shared[step].indices, alone.indices)


def test_seeds_and_epochs_differ():
    lengths = np.full(64, 10)
    one, two = (TrainingPlan(np.arange(64), lengths, (10,), 8, seed=seed) for seed in (1, 2))
    assert (one.batch(0).indices != two.batch(0).indices).any()
    assert (one.batch(0).indices != one.batch(8).indices).any()


@settings(max_examples=60, deadline=None)
@given(LENGTHS, BUCKETS, st.integers(1, 8))
def test_evaluation_holds_every_clip_once_and_whole(lengths, buckets, batch_size):
    batches = evaluation_plan(np.arange(len(lengths)), lengths, buckets, batch_size)
    rows = np.concatenate([batch.indices for batch in batches])
    assert sorted(rows[rows != EMPTY]) == list(range(len(lengths)))
    for batch in batches:
        members = batch.indices[batch.indices != EMPTY]
        assert len(batch.indices) == batch_size and len(members)
        assert lengths[members].max() <= batch.bucket


def test_long_clips_double_the_last_bucket():
    batches = evaluation_plan(np.arange(2), np.array([30, 333]), (50, 100), 1)
    assert [batch.bucket for batch in batches] == [50, 400]


def test_left_over_clips_move_up_a_bucket():
    plan = TrainingPlan(np.arange(4), np.array([5, 5, 5, 20]), (10, 20), 2, seed=0)
    assert plan.steps_per_epoch == 2
    assert sorted(plan.batch(step).bucket for step in range(2)) == [10, 20]


def test_fewer_clips_than_rows_make_no_batch_unless_partial_ones_are_kept():
    assert TrainingPlan(np.arange(2), np.array([5, 5]), (10,), 4, seed=0).steps_per_epoch == 0
    kept = TrainingPlan(np.arange(2), np.array([5, 5]), (10,), 4, seed=0, keep_partial=True).batch(0)
    assert sorted(kept.indices.tolist()) == [EMPTY, EMPTY, 0, 1]
