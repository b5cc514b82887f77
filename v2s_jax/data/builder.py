"""The TFDS builder that turns staged records into ArrayRecord shards, without TensorFlow.

Imported by `prepare` alone: readers need neither this module nor TFDS, though TFDS's own readers work on the result
(`tfds.builder_from_directory(folder).as_data_source()`).
"""

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from v2s_jax.data.metadata import Metadata, index_split
from v2s_jax.data.schema import FIELDS, SCHEMA_VERSION, Field, stored_values
from v2s_jax.data.shards import iterate_shards
from v2s_jax.data.staging import Described

FILE_FORMAT = "array_record"


def tfds_feature(field: Field) -> Any:
    """The TFDS feature with the same stored form as `field`."""
    if field.kind == "bytes_list" and field.scalar:
        return tfds.features.Text()
    if field.scalar:
        return tfds.features.Scalar(field.dtype)
    # Compressed fields are lists of encoded blobs; v2s_jax.data.schema decodes them.
    return tfds.features.Tensor(shape=(None,), dtype=np.object_ if field.kind == "bytes_list" else field.dtype)


with tfds.core.registered.skip_registration():

    class RecordBuilder(tfds.core.GeneratorBasedBuilder):
        """Writes staged records of one corpus."""

        name = "records"
        VERSION = tfds.core.Version(f"{SCHEMA_VERSION}.0.0")

        def __init__(self, corpus: Described, staged: Mapping[str, Sequence[Path]], data_dir: Path):
            """Describes the work.

            Args:
                corpus: whose name and description go into the metadata.
                staged: files of serialised records, by split.
                data_dir: where TFDS makes `<name>/<version>`.
            """
            self.name = corpus.name
            self._corpus, self._staged = corpus, staged
            super().__init__(data_dir=str(data_dir), file_format=FILE_FORMAT)

        def _info(self) -> tfds.core.DatasetInfo:
            return tfds.core.DatasetInfo(
                builder=self,
                description=self._corpus.description,
                citation=self._corpus.citation or None,
                features=tfds.features.FeaturesDict({name: tfds_feature(field) for name, field in FIELDS.items()}),
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
            del dl_manager  # nothing is downloaded
            return {split: self._generate_examples(paths) for split, paths in sorted(self._staged.items())}

        def _generate_examples(self, paths: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
            for path in paths:
                stored = stored_values(path.read_bytes())
                example = {name: _tfds_value(FIELDS[name], values) for name, values in stored.items()}
                yield example["id"].decode(), example


def _tfds_value(field: Field, values: Sequence[Any]) -> Any:
    if field.scalar:
        return values[0]
    return list(values) if field.kind == "bytes_list" else np.asarray(values, field.dtype)


class _Shards(tfds.core.utils.shard_utils.ShardConfig):
    """As few shards as there can be of the largest size: TFDS's own count looks at its defaults, whatever is asked."""

    def get_number_shards(self, total_size: int, num_examples: int, uses_precise_sharding: bool = True) -> int:
        return min(num_examples, math.ceil(total_size / self.max_shard_size))


class _Sharding(tfds.download.DownloadConfig):
    """Nothing is downloaded; TFDS asks its download config for the shards, too."""

    def get_shard_config(self) -> _Shards:
        return _Shards(max_shard_size=self.max_shard_size)


def build(
    corpus: Described, staged: Mapping[str, Sequence[Path]], data_dir: Path, shard_megabytes: int = 128
) -> tuple[Path, Metadata]:
    """Writes the shards of all splits below `data_dir` and describes them.

    Args:
        corpus: what the records come from.
        staged: files of serialised records, by split; no split empty.
        data_dir: an empty folder.
        shard_megabytes: about the most, of a file.

    Returns:
        The folder with TFDS's files, and the metadata to put beside them.
    """
    tfds.disable_progress_bar()
    builder = RecordBuilder(corpus, staged, data_dir)
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces downloads it does not make
        builder.download_and_prepare(download_config=_Sharding(max_shard_size=shard_megabytes << 20))
    folder = Path(builder.data_dir)
    splits = {}
    for name, info in sorted(builder.info.splits.items()):
        shards = [(Path(path).name, int(count)) for path, count in zip(info.filepaths, info.shard_lengths, strict=True)]
        splits[name] = index_split(shards, iterate_shards(folder, shards))
    return folder, Metadata(corpus.name, splits)
