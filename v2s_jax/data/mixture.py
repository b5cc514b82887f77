"""Several prepared data sets trained on as one."""

import hashlib
from collections.abc import Collection, Sequence
from os import PathLike, fspath

import numpy as np
from jaxtyping import Int

from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.schema import ARRAYS, Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError


class Mixture:
    """The records of one split of several data sets, one set after the other; what `ShardedDataset` is for one.

    Attributes:
        path: the folders, joined by commas.
        split: of them.
        ids: record ids in order.
        lengths: video frames of each record.
        speakers: speaker of each record.
        sources: number of the data set that each record is from.
        fingerprint: identifies content and order.
    """

    def __init__(self, paths: Sequence[str], split: str, cache: bool = False):
        """Opens the split of every data set that has it.

        Args:
            paths: folders of data sets; one named twice counts twice.
            split: such as `train`.
            cache: keep the compressed records in memory once read.

        Raises:
            V2SError: one is no data set, or none has the split.
        """
        having = [path for path in paths if split in read_metadata(path).splits]
        if not having:
            raise V2SError(f"none of {', '.join(paths)} has a split {split!r}")
        opened = {path: ShardedDataset(path, split, cache) for path in having}
        self._parts = [opened[path] for path in having]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        self.path, self.split = ",".join(paths), split
        self.ids = [name for part in self._parts for name in part.ids]
        self.lengths: Int[np.ndarray, "n"] = np.concatenate([part.lengths for part in self._parts])
        self.speakers = [name for part in self._parts for name in part.speakers]
        self.sources: Int[np.ndarray, "n"] = np.concatenate([np.full(len(p), i) for i, p in enumerate(self._parts)])
        prints = " ".join(part.fingerprint for part in self._parts)
        self.fingerprint = hashlib.sha256(prints.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def indices_with(self, fields: Collection[str]) -> Int[np.ndarray, "n"]:
        """Indices of the records that have all of `fields`, in order.

        Raises:
            V2SError: a data set has no such record.
        """
        starts = self._starts[:-1]
        return np.concatenate([s + part.indices_with(fields) for s, part in zip(starts, self._parts, strict=True)])

    def read(self, index: int, fields: Collection[str] = ARRAYS, window: tuple[int, int] | None = None) -> Record:
        """One record.

        Args:
            index: its place in the mixture.
            fields: arrays to decode; the others stay None.
            window: frames [start, stop) to read, all when None.
        """
        number = int(np.searchsorted(self._starts, index, "right")) - 1
        return self._parts[number].read(index - int(self._starts[number]), fields, window)


def open_dataset(path: str | PathLike[str], split: str, cache: bool = False) -> ShardedDataset | Mixture:
    """A split of a prepared data set, or of several whose folders are joined by commas.

    Raises:
        V2SError: no such data set or split.
    """
    paths = [part.strip() for part in fspath(path).split(",")]
    return ShardedDataset(path, split, cache) if len(paths) == 1 else Mixture(paths, split, cache)
