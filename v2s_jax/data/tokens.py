"""Adds token fields (embeddings of voices and faces, units, drafts ...) to an existing data set, which stays as it is.

Records are copied as they are stored; no picture or sound is encoded anew. Resumable like `prepare`: each finished
record is staged whole, under a name made of all that it depends on.
"""

import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from v2s_jax.data import schema
from v2s_jax.data.metadata import METADATA_FILE, Metadata, read_metadata
from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.data.staging import SKIPPED_FILE, STAGING, WARNINGS_FILE, locked, publish, writing_to
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing
from v2s_jax.progress import progress


@dataclasses.dataclass(frozen=True)
class Tagger:
    """How one field is made.

    Attributes:
        field: of a record.
        about: what its values depend on, in JSON's kinds; it goes into the data set's recipe.
        compute: from a record with the fields it needs to the array; called from several threads.
        needs: fields it reads. Records that lack one are left without the new field.
        together: the same from several records at once, where that is faster.
    """

    field: str
    about: Mapping[str, Any]
    compute: Callable[[Record], np.ndarray]
    needs: frozenset[str] = frozenset({"audio"})
    together: Callable[[Sequence[Record]], Sequence[np.ndarray]] | None = None

    def can_use(self, record: Record) -> bool:
        """Whether it has all that is needed."""
        return all(getattr(record, name) is not None for name in self.needs)

    def arrays(self, records: Sequence[Record]) -> Sequence[np.ndarray]:
        """That of each record."""
        return self.together(records) if self.together else [self.compute(record) for record in records]


@dataclasses.dataclass(frozen=True)
class TokenSummary:
    """What a run made.

    Attributes:
        out: the data set's folder.
        records: how many there are.
        counts: how many have each of the fields asked for.
        nothing_to_do: it was complete before.
    """

    out: Path
    records: int
    counts: Mapping[str, int]
    nothing_to_do: bool = False

    def __str__(self) -> str:
        lines = [f"{self.out}: nothing to do, the data set is complete"] if self.nothing_to_do else []
        return "\n".join(
            [*lines, *(f"{name} in {count} of {self.records} records" for name, count in self.counts.items())]
        )


@dataclasses.dataclass(frozen=True)
class _Origin:
    """What TFDS's files say of where a data set comes from."""

    name: str
    description: str
    citation: str


def add_tokens(data: Path, out: Path, taggers: Sequence[Tagger], jobs: int = 1, at_once: int = 1) -> TokenSummary:
    """Makes the data set `out`: that of `data` with more fields (or with those it has made anew).

    Args:
        data: a prepared data set.
        out: another folder; an unfinished one is taken up again, a finished one of the same is left alone.
        taggers: of the fields to make, at least one.
        jobs: threads.
        at_once: records given to a tagger at a time, of similar lengths.

    Raises:
        V2SError: `data` is no data set, no record can have a field, or `out` cannot be written or holds something else.
    """
    if not taggers:
        raise V2SError("no token was asked for: name at least one, such as --pitch")
    if out.resolve() == data.resolve():
        raise V2SError(f"{out} is the data set itself; give another --out, the records are copied there")
    metadata = read_metadata(data)
    recipe = _recipe(metadata, taggers)
    with writing_to(out), locked(out):
        if (out / METADATA_FILE).exists():
            return _check_same(out, recipe, taggers)
        staged = {
            split: _stage(ShardedDataset(data, split), out, taggers, recipe, jobs, at_once) for split in metadata.splits
        }
        notes = {name: _lines(data / name) for name in (SKIPPED_FILE, WARNINGS_FILE)}
        publish(_origin(data, metadata), staged, out, recipe, notes)
        return _summary(out, taggers)


def _recipe(metadata: Metadata, taggers: Sequence[Tagger]) -> dict[str, Any]:
    """That of the data set, with the tokens' beside it, and the fingerprints of what they were added to."""
    tokens = metadata.recipe.get("tokens", {}) | {tagger.field: dict(tagger.about) for tagger in taggers}
    source = {name: split.fingerprint for name, split in sorted(metadata.splits.items())}
    return json.loads(json.dumps(metadata.recipe | {"tokens": tokens, "source": source}))


def _check_same(out: Path, recipe: dict[str, Any], taggers: Sequence[Tagger]) -> TokenSummary:
    if read_metadata(out).recipe != recipe:
        raise V2SError(
            f"{out} is already a finished data set, of other records or tokens; give another --out or remove it first"
        )
    shutil.rmtree(out / STAGING, ignore_errors=True)  # left if the last run was stopped at its very end
    return dataclasses.replace(_summary(out, taggers), nothing_to_do=True)


def _stage(
    dataset: ShardedDataset, out: Path, taggers: Sequence[Tagger], recipe: dict[str, Any], jobs: int, at_once: int
) -> list[Path]:
    """Makes the records of a split that are not staged yet; the files of all of them.

    Raises:
        V2SError: no record has what a field is made of.
    """
    for tagger in taggers:
        dataset.indices_with(tagger.needs)
    paths = [_staged_path(out, dataset, index, recipe) for index in range(len(dataset))]
    todo = [index for index, path in enumerate(paths) if not path.exists()]
    for folder in {paths[index].parent for index in todo}:
        folder.mkdir(parents=True, exist_ok=True)

    if at_once > 1:
        todo.sort(key=lambda index: dataset.lengths[index])
    groups = [todo[start : start + at_once] for start in range(0, len(todo), at_once)]

    def make(group: list[int]) -> list[int]:
        for index, tagged in zip(group, tag([dataset.raw(index) for index in group], taggers), strict=True):
            with replacing(paths[index]) as file:
                file.write(tagged)
        return group

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            done = itertools.chain.from_iterable(pool.map(make, groups))
            for _ in progress(done, len(todo), f"{dataset.split} records"):
                pass
        except BaseException:  # Ctrl-C, too
            pool.shutdown(cancel_futures=True)
            raise
    return paths


def tag(data: Sequence[bytes], taggers: Sequence[Tagger]) -> list[bytes]:
    """Serialised records, each with the fields of those taggers whose needs it meets.

    Raises:
        V2SError: one is no record, or a tagger's array does not fit it.
    """
    wanted = frozenset().union(*(tagger.needs for tagger in taggers))
    records = [schema.decode(stored, wanted) for stored in data]
    made: list[dict[str, np.ndarray]] = [{} for _ in records]
    for tagger in taggers:
        able = [n for n, record in enumerate(records) if tagger.can_use(record)]
        for n, array in zip(able, tagger.arrays([records[n] for n in able]), strict=True):
            made[n][tagger.field] = array
    return [schema.with_fields(stored, values) for stored, values in zip(data, made, strict=True)]


def _staged_path(out: Path, dataset: ShardedDataset, index: int, recipe: dict[str, Any]) -> Path:
    depends = (schema.SCHEMA_VERSION, dataset.split, dataset.ids[index], json.dumps(recipe, sort_keys=True))
    name = hashlib.sha256(repr(depends).encode()).hexdigest()[:40]
    return out / STAGING / "clips" / name[:2] / f"{name}.example"


def _origin(data: Path, metadata: Metadata) -> _Origin:
    info = json.loads((data / "dataset_info.json").read_text(encoding="utf-8"))
    return _Origin(metadata.corpus, info.get("description", ""), info.get("citation", ""))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _summary(out: Path, taggers: Sequence[Tagger]) -> TokenSummary:
    splits = read_metadata(out).splits.values()
    counts = {tagger.field: sum(split.fields.get(tagger.field, 0) for split in splits) for tagger in taggers}
    return TokenSummary(out, sum(len(split.ids) for split in splits), counts)
