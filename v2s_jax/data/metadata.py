"""`v2s.json`, the project's own description of a prepared data set, beside the files that TFDS writes.

It holds what a loader must know before it reads a record: the schema version, and for every split its shards and, in
the order of the records, ids, lengths and speakers, which fields the records have, and a fingerprint of their content.
A folder without it is not (yet) a data
set: `prepare` writes it last.
"""

import dataclasses
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from v2s_jax.data.schema import ARRAYS, SCHEMA_VERSION, decode_values, stored_values
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing

METADATA_FILE = "v2s.json"


@dataclasses.dataclass
class Split:
    """One split; the lists run in the order of its records.

    Attributes:
        shards: file names and the number of records in each.
        ids: of the records.
        n_frames: lengths in video frames.
        speakers: who speaks.
        coverage: share of frames with a detected face.
        fields: for each array field, how many records have it.
        lacking: for fields that only some records have, the indices of those that do not.
        fingerprint: changes with any record's content or place.
    """

    shards: list[tuple[str, int]]
    ids: list[str]
    n_frames: list[int]
    speakers: list[str]
    coverage: list[float]
    fields: dict[str, int]
    lacking: dict[str, list[int]]
    fingerprint: str


@dataclasses.dataclass
class Metadata:
    """A data set.

    Attributes:
        corpus: what it was made of.
        splits: by name.
        recipe: the options of `prepare` that chose its clips and faces.
        schema_version: of its records.
    """

    corpus: str
    splits: dict[str, Split]
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def index_split(shards: list[tuple[str, int]], records: Iterable[bytes]) -> Split:
    """Describes a split by reading its records, since TFDS shuffles them while writing."""
    split = Split(shards, [], [], [], [], {}, {}, "")
    digest = hashlib.sha256()
    counts: Counter[str] = Counter()
    lacking: dict[str, list[int]] = {name: [] for name in sorted(ARRAYS)}
    for index, data in enumerate(records):
        stored = stored_values(data)
        record = decode_values(stored, fields=())
        split.ids.append(record.id)
        split.n_frames.append(record.n_frames)
        split.speakers.append(record.speaker)
        split.coverage.append(round(float(record.coverage), 4))
        for name in lacking:
            if len(stored[name]):
                counts[name] += 1
            else:
                lacking[name].append(index)
        # The order of fields inside a serialised record is TFDS's whim; their values are not.
        content = [(name, list(values)) for name, values in sorted(stored.items())]
        digest.update(zlib.crc32(repr(content).encode()).to_bytes(4, "big") + record.id.encode() + b"\n")
    split.fields = dict(sorted(counts.items()))
    split.lacking = {name: indices for name, indices in lacking.items() if counts[name] and indices}
    split.fingerprint = digest.hexdigest()[:16]
    return split


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Writes `v2s.json`, whole or not at all."""
    with replacing(folder / METADATA_FILE) as file:
        file.write(json.dumps(dataclasses.asdict(metadata)).encode())


def read_metadata(folder: str | PathLike[str]) -> Metadata:
    """Reads `v2s.json`.

    Raises:
        V2SError: there is none, it is damaged, or it has another schema version.
    """
    path = Path(folder) / METADATA_FILE
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        version = values["schema_version"]
        if version == SCHEMA_VERSION:
            splits = {name: _split(split) for name, split in values["splits"].items()}
            return Metadata(values["corpus"], splits, values.get("recipe", {}))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise V2SError(
            f"{folder} is not a prepared data set (it has no {METADATA_FILE}); make or finish it with v2s-jax prepare"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise V2SError(f"{path} is damaged ({error!r}); prepare the data set again") from error
    raise V2SError(
        f"{folder} has records of schema version {version}, but this v2s_jax reads version {SCHEMA_VERSION}; "
        "prepare the data set again"
    )


def _split(values: dict[str, Any]) -> Split:
    """From JSON, which has no tuples."""
    return Split(**values | {"shards": [(name, count) for name, count in values["shards"]]})
