"""Batches of several speakers with several utterances each, for losses that compare speakers.

The rows of one speaker lie side by side. As everywhere, which clips make up a batch is a pure function of (seed, step).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from v2s_jax.data.buckets import BatchPlan, fill_rows, ladder
from v2s_jax.errors import V2SError


class SpeakerPlan:
    """An endless sequence of batches, each of other speakers drawn at random.

    Speakers of one data set are drawn equally often; of several, the few of a small one more often than the many of a
    large one, since every data set is to have its say.
    """

    def __init__(
        self,
        indices: Int[np.ndarray, "n"],
        lengths: Int[np.ndarray, "n"],
        speakers: Sequence[str],
        sources: Sequence[int],
        buckets: Sequence[int],
        batch_size: int,
        utterances: int,
        seed: int,
    ):
        """Plans over some clips of a data set; speakers with fewer than `utterances` of them are left out.

        Args:
            indices: of the clips.
            lengths: their video frames.
            speakers: who speaks in them.
            sources: which data sets they are from.
            buckets: ascending numbers of frames; training reads random windows as long as the last.
            batch_size: rows of every batch, a multiple of `utterances`.
            utterances: rows of one speaker, all of different clips.
            seed: of the draw.

        Raises:
            V2SError: a batch cannot hold two speakers or more.
        """
        if batch_size % utterances or batch_size < 2 * utterances:
            raise V2SError(
                f"a batch_size of {batch_size} does not hold two or more speakers with {utterances} utterances each; "
                f"make it a multiple of {utterances}"
            )
        places: dict[str, list[int]] = {}
        for place, speaker in enumerate(speakers):
            places.setdefault(speaker, []).append(place)
        self._places = [np.array(places[name]) for name in sorted(places) if len(places[name]) >= utterances]
        source = np.array([sources[own[0]] for own in self._places], np.int64)
        share = 1 / np.maximum(np.bincount(source), 1)[source] if len(source) else np.zeros(0)
        self._chances = share / max(share.sum(), 1)
        self._indices, self._lengths, self._buckets = indices, lengths, tuple(buckets)
        self._batch_size, self._utterances, self._seed = batch_size, utterances, seed
        self._groups = batch_size // utterances
        enough = len(self._places) >= self._groups
        self.steps_per_epoch = max(1, sum(map(len, self._places)) // batch_size) if enough else 0

    @property
    def shortage(self) -> str:
        """What there is too little of when there are no steps, as a part of a sentence."""
        return f"{len(self._places)} speakers with {self._utterances} clips or more, and a batch takes {self._groups}"

    def batch(self, step: int) -> BatchPlan:
        """The batch of a step."""
        rng = np.random.default_rng((self._seed, step))
        chosen = rng.choice(len(self._places), self._groups, replace=False, p=self._chances)
        rows = [rng.choice(self._places[speaker], self._utterances, replace=False) for speaker in chosen]
        return BatchPlan(self._buckets[-1], self._indices[np.concatenate(rows)])

    def evaluation(self) -> list[BatchPlan]:
        """Batches in which clips come once at most, whole, beside those of other speakers; always the same ones.

        A speaker's clips beyond a multiple of `utterances`, and those for which no other speaker is left, are in none.

        Raises:
            V2SError: there are not even two speakers with enough clips.
        """
        steps = ladder(self._buckets, self._lengths)
        batches = []
        for start in range(0, max(map(len, self._places), default=0), self._utterances):
            stop = start + self._utterances
            rows = [own[start:stop] for own in self._places if len(own) >= stop]
            count = -(-len(rows) // self._groups)
            for number in range(count):
                together = rows[number::count]  # as many speakers in one batch as in the other, lest one be alone
                if len(together) > 1:
                    places = np.concatenate(together)
                    bucket = steps[int(np.searchsorted(steps, self._lengths[places].max()))]
                    batches.append(BatchPlan(bucket, fill_rows(self._indices[places], self._batch_size)))
        if not batches:
            raise V2SError(f"there are no two speakers with {self._utterances} clips each to compare")
        return batches
