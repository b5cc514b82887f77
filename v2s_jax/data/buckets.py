"""Which clips make up which batch: a pure function of (seed, step), computed from the clips' lengths alone.

A batch holds clips of one bucket, the least number of frames into which they fit. What is left over in a bucket at the
end of an epoch moves up into the next one, where it fits with more padding, so an epoch takes every clip once, but for
fewer than one batch, and has the same number of batches whatever the order.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

EMPTY = -1  # a row without a clip


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """One global batch.

    Attributes:
        bucket: video frames it is padded to.
        indices: of the clips, row by row; EMPTY for rows of padding.
    """

    bucket: int
    indices: Int[np.ndarray, "B"]


class TrainingPlan:
    """An endless sequence of shuffled batches."""

    def __init__(
        self,
        indices: Int[np.ndarray, "n"],
        lengths: Int[np.ndarray, "n"],
        buckets: Sequence[int],
        batch_size: int,
        seed: int,
        keep_partial: bool = False,
    ):
        """Plans over some clips of a data set.

        Args:
            indices: of the clips.
            lengths: their video frames; clips longer than the last bucket go there too (a window of them is read).
            buckets: ascending numbers of frames.
            batch_size: rows of every batch.
            seed: of the order.
            keep_partial: end an epoch with a batch that has empty rows, rather than leave those clips out.
        """
        self._indices, self._lengths, self._buckets = indices, lengths, tuple(buckets)
        self._bucket_of = np.minimum(np.searchsorted(self._buckets, lengths), len(self._buckets) - 1)
        self._batch_size, self._seed, self._keep_partial = batch_size, seed, keep_partial
        self._epochs: dict[int, list[BatchPlan]] = {}
        whole, rest = divmod(len(indices), batch_size)
        self.steps_per_epoch = whole + (1 if keep_partial and rest else 0)

    @property
    def shortage(self) -> str:
        """What there is too little of when there are no steps, as a part of a sentence."""
        return f"{len(self._indices)} clips, fewer than the batch_size of {self._batch_size}"

    def evaluation(self) -> list[BatchPlan]:
        """Batches that hold every clip once and whole."""
        return evaluation_plan(self._indices, self._lengths, self._buckets, self._batch_size)

    def batch(self, step: int) -> BatchPlan:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        plan = self._epochs.get(epoch)  # held here: another thread may drop it
        if plan is None:
            plan = self._epochs[epoch] = self._plan(epoch)
            for old in [kept for kept in list(self._epochs) if kept < epoch - 1]:
                self._epochs.pop(old, None)
        return plan[place]

    def _plan(self, epoch: int) -> list[BatchPlan]:
        rng = np.random.default_rng((self._seed, epoch))
        order = rng.permutation(len(self._indices))
        batches, left = [], np.zeros(0, np.int64)
        for number, bucket in enumerate(self._buckets):
            waiting = np.concatenate([left, order[self._bucket_of[order] == number]])
            whole = len(waiting) // self._batch_size * self._batch_size
            rows = self._indices[waiting[:whole]].reshape(-1, self._batch_size)
            batches += [BatchPlan(bucket, row) for row in rows]
            left = waiting[whole:]
        if self._keep_partial and len(left):
            batches.append(BatchPlan(self._buckets[-1], fill_rows(self._indices[left], self._batch_size)))
        return [batches[i] for i in rng.permutation(len(batches))]


def evaluation_plan(
    indices: Int[np.ndarray, "n"], lengths: Int[np.ndarray, "n"], buckets: Sequence[int], batch_size: int
) -> list[BatchPlan]:
    """Batches that hold every clip once and whole, bucket by bucket, each bucket's last batch filled with empty rows.

    Args:
        indices: of the clips.
        lengths: their video frames.
        buckets: ascending numbers of frames; doubled from the last as often as the longest clip needs.
        batch_size: rows of every batch.
    """
    steps = ladder(buckets, lengths)
    bucket_of = np.searchsorted(steps, lengths)
    batches = []
    for number, bucket in enumerate(steps):
        members = indices[bucket_of == number]
        for start in range(0, len(members), batch_size):
            batches.append(BatchPlan(bucket, fill_rows(members[start : start + batch_size], batch_size)))
    return batches


def ladder(buckets: Sequence[int], lengths: Int[np.ndarray, "n"]) -> list[int]:
    """The buckets, and doubles of the last as often as the longest clip needs."""
    steps = list(buckets)
    while steps[-1] < lengths.max():
        steps.append(2 * steps[-1])
    return steps


def fill_rows(indices: Int[np.ndarray, "n"], batch_size: int) -> Int[np.ndarray, "B"]:
    """The clips of a batch, followed by EMPTY rows."""
    return np.concatenate([indices, np.full(batch_size - len(indices), EMPTY, np.int64)])
