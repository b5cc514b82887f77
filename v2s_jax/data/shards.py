"""Random access to the records of a prepared data set, without TFDS."""

import dataclasses
from collections.abc import Collection, Iterator
from os import PathLike
from pathlib import Path

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from jaxtyping import Int

from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.schema import ARRAYS, Record, decode, remedy
from v2s_jax.errors import V2SError


@dataclasses.dataclass(frozen=True)
class _ShardFile:
    """What ArrayRecordDataSource asks of a file, so that it need not open all of them to count records."""

    filename: str
    examples_in_shard: int
    skip: int = 0

    @property
    def take(self) -> int:
        return self.examples_in_shard


class ShardedDataset:
    """One split of a prepared data set.

    Safe to read from several threads, and to pickle into other processes (files open on the first read).

    Attributes:
        ids: record ids in order.
        lengths: video frames of each record.
        speakers: speaker of each record.
        sources: 0 for each record; a mixture of data sets has others.
        fingerprint: identifies the split's content and order.
    """

    def __init__(self, path: str | PathLike[str], split: str, cache: bool = False):
        """Opens a split.

        Args:
            path: the data set's folder.
            split: such as `train`.
            cache: keep the compressed records in memory once read (for slow disks and small data sets).

        Raises:
            V2SError: no data set there, of another schema version, or without that split.
        """
        self.path, self.split = Path(path), split
        metadata = read_metadata(path)
        if split not in metadata.splits:
            raise V2SError(f"{path} has no split {split!r}; its splits are {', '.join(sorted(metadata.splits))}")
        self._meta = metadata.splits[split]
        self.ids = self._meta.ids
        self.lengths: Int[np.ndarray, "n"] = np.asarray(self._meta.n_frames, np.int64)
        self.speakers = self._meta.speakers
        self.sources: Int[np.ndarray, "n"] = np.zeros(len(self.ids), np.int64)
        self.fingerprint = self._meta.fingerprint
        self._source = open_shards(self.path, self._meta.shards)
        self._cache: dict[int, bytes] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fields(self) -> frozenset[str]:
        """Array fields that every record has."""
        return frozenset(name for name, count in self._meta.fields.items() if count == len(self))

    def indices_with(self, fields: Collection[str]) -> Int[np.ndarray, "n"]:
        """Indices of the records that have all of `fields`, in order.

        Raises:
            V2SError: there are none.
        """
        lacking: set[int] = set()
        for name in sorted(fields):
            if not self._meta.fields.get(name):
                raise V2SError(f"the {self.split} records of {self.path} have no {name}; {remedy(name)}")
            lacking.update(self._meta.lacking.get(name, ()))
        indices = np.asarray([index for index in range(len(self)) if index not in lacking], np.int64)
        if not len(indices):
            raise V2SError(f"no {self.split} record of {self.path} has all of {', '.join(sorted(fields))}")
        return indices

    def raw(self, index: int) -> bytes:
        """One record as stored.

        Raises:
            V2SError: the shard is missing or damaged.
        """
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        try:
            data = self._source[index]
        except (OSError, RuntimeError, ValueError) as error:
            raise V2SError(
                f"record {index} ({self.ids[index]}) of {self.path} cannot be read ({error}); prepare it again"
            ) from error
        if self._cache is not None:
            self._cache[index] = data
        return data

    def read(self, index: int, fields: Collection[str] = ARRAYS, window: tuple[int, int] | None = None) -> Record:
        """One record.

        Args:
            index: its place in the split.
            fields: arrays to decode; the others stay None.
            window: frames [start, stop) to read, all when None.
        """
        return decode(self.raw(index), fields, window)


def open_shards(folder: Path, shards: list[tuple[str, int]]) -> ArrayRecordDataSource:
    """The records of shard files in order, by index.

    Raises:
        V2SError: a file is missing.
    """
    for name, _ in shards:
        if not (folder / name).is_file():
            raise V2SError(f"{folder / name} is missing; prepare the data set again or fetch the whole folder")
    return ArrayRecordDataSource([_ShardFile(str(folder / name), count) for name, count in shards])


def iterate_shards(folder: Path, shards: list[tuple[str, int]]) -> Iterator[bytes]:
    """All stored records of shard files in order."""
    source = open_shards(folder, shards)
    for index in range(len(source)):
        yield source[index]
