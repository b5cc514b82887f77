import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.synthesis.batches import Joined, assembled
from v2s_jax.synthesis.windows import plan

RUNGS = (10, 20, 40)


class Counted:
    """A clip whose frames are the numbers from `first`."""

    def __init__(self, first, frames):
        self.first, self.windows = first, plan(frames, 40, 12, 2)
        self._joined = Joined(self.windows, 1)

    def part(self, window):
        return np.arange(self.first + window.start, self.first + window.stop)

    def add(self, index, output):
        self._joined.add(index, output)

    def result(self):
        return self._joined.rows


class Computer:
    def __init__(self, rows, bad=-1):
        self.rows, self.bad, self.batches = rows, bad, []

    def __call__(self, parts, rung):
        assert 0 < len(parts) <= self.rows and all(len(part) <= rung for part in parts)
        self.batches.append((len(parts), rung))
        if any(self.bad in part for part in parts):
            raise ValueError("bad")
        return [np.pad(part, (0, rung - len(part))) for part in parts]


@given(st.lists(st.integers(1, 150), max_size=12), st.integers(1, 5), st.randoms())
@settings(deadline=None, max_examples=60)
def test_neither_batch_size_nor_order_matters(lengths, rows, random):
    clips = list(enumerate(lengths))
    random.shuffle(clips)
    computer = Computer(rows)
    found = dict(assembled(((i, Counted(1000 * i, n)) for i, n in clips), RUNGS, rows, computer))
    assert found.keys() == set(range(len(lengths)))
    for index, frames in clips:
        np.testing.assert_array_equal(found[index], 1000 * index + np.arange(frames))
    assert {rung for _, rung in computer.batches} <= set(RUNGS)


def test_one_that_fails_costs_itself_alone():
    clips = [(0, Counted(0, 100)), (1, Counted(1000, 100)), (2, ValueError("unread")), (3, Counted(3000, 30))]
    found = dict(assembled(clips, RUNGS, 3, Computer(3, bad=1050)))
    assert str(found[1]) == "bad" and str(found[2]) == "unread"
    for index, frames in ((0, 100), (3, 30)):
        np.testing.assert_array_equal(found[index], 1000 * index + np.arange(frames))


def test_a_long_clip_is_cut_as_it_is_computed_and_batches_are_full():
    class Watched(Counted):
        cut = kept = most = 0

        def part(self, window):
            self.cut += 1
            self.most = max(self.most, self.cut - self.kept)
            return super().part(window)

        def add(self, index, output):
            self.kept += 1
            super().add(index, output)

    clip, computer = Watched(0, 5000), Computer(4)
    [(_, rows)] = assembled([("", clip)], RUNGS, 4, computer)
    assert len(rows) == 5000 and clip.most <= 4
    assert {count for count, _ in computer.batches[:-1]} == {4}


def test_few_wait_for_others_of_their_length():
    """However rare a length is, a clip is not held back while many others pass."""
    clips = [(0, Counted(0, 5)), *((index, Counted(1000 * index, 15 + index % 20)) for index in range(1, 40))]
    order = [key for key, _ in assembled(clips, RUNGS, 8, Computer(8))]
    assert sorted(order) == list(range(40))
