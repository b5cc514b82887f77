"""From shards to batches: every global batch is a pure function of (seed, step).

Whatever the number of hosts, workers or threads: which clips a batch holds follows from (seed, step), how row r is cut
and augmented from (seed, step, r), and a host builds only its own rows. Grain runs that function ahead of the trainer;
its elements are whole batches, so their order does not depend on its workers, and to resume is to start at another
step.
"""

import dataclasses
import zlib
from collections.abc import Collection, Generator, Sequence
from os import PathLike
from typing import Any

import grain
import numpy as np
from absl import flags

from v2s_jax.constants import CROP_SIZE, FACE_CROPS
from v2s_jax.data.augment import NO_AUGMENT, Augment, Draw, change, cut_mouth, draw
from v2s_jax.data.batch import Batch
from v2s_jax.data.buckets import EMPTY, BatchPlan, TrainingPlan
from v2s_jax.data.mixture import open_dataset
from v2s_jax.data.schema import FIELDS, Record, array_shape
from v2s_jax.data.speakers import SpeakerPlan
from v2s_jax.errors import V2SError
from v2s_jax.features.text import characters

# Steps of an endless run, for Grain, which wants an end.
_ENDLESS = 2**62
DEFAULT_FIELDS = frozenset({"mouth", "audio"})
MADE_HERE = frozenset({"characters", "speaker_id"})  # of what every record has
BATCH_FIELDS = frozenset(field.name for field in dataclasses.fields(Batch)) - {"length"}


@dataclasses.dataclass(frozen=True)
class LoaderConfig:
    """How batches are made.

    Attributes:
        batch_size: rows of the global batch.
        buckets: ascending numbers of video frames that batches are padded to; training reads a random window of clips
            longer than the last.
        augment: of the mouth and expression crops in training; evaluation cuts the centre.
        keep_partial: end a training epoch with a batch that has empty rows, rather than leave those clips out.
        workers: processes; 0 builds batches in threads of this one.
        threads: in each process.
        prefetch: batches held ready, in each process.
        cache: keep the compressed records in memory once read.
    """

    batch_size: int = 16
    buckets: tuple[int, ...] = (75,)
    augment: Augment = Augment()
    keep_partial: bool = False
    workers: int = 0
    threads: int = 2
    prefetch: int = 4
    cache: bool = False

    def __post_init__(self):
        object.__setattr__(self, "buckets", tuple(int(bucket) for bucket in self.buckets))
        if self.batch_size < 1 or not self.buckets or self.buckets[0] < 1:
            raise V2SError("the loader needs a batch_size of 1 or more and buckets of 1 frame or more")
        if list(self.buckets) != sorted(set(self.buckets)):
            raise V2SError(f"the loader's buckets {self.buckets} must ascend")


class Loader:
    """Batches of one split of a prepared data set.

    Attributes:
        dataset: the records.
        indices: of the records that have all fields asked for; the others are left out.
        steps_per_epoch: training steps that take every clip once, but for fewer than one batch.
        embedding_size: length of the face embeddings; 0 if they were not asked for.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        split: str,
        config: LoaderConfig = LoaderConfig(),
        seed: int = 0,
        fields: Collection[str] = DEFAULT_FIELDS,
        utterances: int = 1,
    ):
        """Opens a split.

        Args:
            path: the data set's folder, or several joined by commas.
            split: such as `train`.
            config: how batches are made.
            seed: of order and augmentation.
            fields: of Batch; the others stay None and are not even decompressed. Records that lack one are left out.
            utterances: if more than 1, so many neighbouring rows are of one speaker, the next ones of another.

        Raises:
            V2SError: no such data set, split or field, face embeddings of different lengths, or a batch does not hold
                two speakers.
        """
        unknown = sorted(set(fields) - BATCH_FIELDS)
        if unknown:
            raise V2SError(f"batches have no field {unknown[0]!r}; they can have {', '.join(sorted(BATCH_FIELDS))}")
        self.config, self.seed, self.fields = config, seed, frozenset(fields)
        self.dataset = open_dataset(path, split, config.cache)
        self.indices = self.dataset.indices_with(self.fields - MADE_HERE)
        lengths = self.dataset.lengths[self.indices]
        self.embedding_size = self._embedding_size() if "face_embedding" in self.fields else 0
        self.utterances = utterances
        self._plan: TrainingPlan | SpeakerPlan
        if utterances == 1:
            self._plan = TrainingPlan(
                self.indices, lengths, config.buckets, config.batch_size, seed, keep_partial=config.keep_partial
            )
        else:
            speakers = [self.dataset.speakers[index] for index in self.indices]
            sources = self.dataset.sources[self.indices].tolist()
            self._plan = SpeakerPlan(
                self.indices, lengths, speakers, sources, config.buckets, config.batch_size, utterances, seed
            )
        self.steps_per_epoch = self._plan.steps_per_epoch

    def batches(self, start_step: int = 0, rows: Sequence[int] | None = None) -> Generator[Batch, None, None]:
        """Training batches from `start_step` on, without end.

        Args:
            start_step: of the first batch; steps count over all epochs.
            rows: of the global batch that this host needs; all if None.

        Raises:
            V2SError: there are fewer clips (or speakers) than the batches need.
        """
        if not self.steps_per_epoch:
            raise V2SError(
                f"the split {self.dataset.split} of {self.dataset.path} has {self._plan.shortage}; make batch_size "
                "smaller or set keep_partial"
            )
        make = _MakeBatch(self, self._rows(rows))
        return self._run(grain.MapDataset.range(start_step, _ENDLESS), make)

    def epoch(self, rows: Sequence[int] | None = None) -> Generator[Batch, None, None]:
        """Every clip once and whole, cut at the centre, in the order of `epoch_plan`; empty rows have length 0.

        Where rows are grouped by speaker, clips that have not enough others beside them are left out.

        Args:
            rows: of the global batches that this host needs; all if None.
        """
        plan = self.epoch_plan()
        make = _MakeBatch(self, self._rows(rows), plan)
        return self._run(grain.MapDataset.range(0, len(plan)), make)

    def epoch_plan(self) -> list[BatchPlan]:
        """Which record is in which row of the batches of `epoch` (EMPTY: none)."""
        return self._plan.evaluation()

    def plan(self, step: int) -> BatchPlan:
        """Which record is in which row of a training step's batch."""
        return self._plan.batch(step)

    def state(self, step: int) -> dict[str, Any]:
        """What a checkpoint keeps of the loader: the step, what its order depends on, and the workers."""
        order = {
            "fingerprint": self.dataset.fingerprint,
            "split": self.dataset.split,
            "seed": self.seed,
            "clips": len(self.indices),
            "batch_size": self.config.batch_size,
            "buckets": list(self.config.buckets),
            "keep_partial": self.config.keep_partial,
            "augment": dataclasses.asdict(self.config.augment),
        }
        if self.utterances > 1:
            order["utterances"] = self.utterances
        return {"step": step, "workers": self.config.workers, "order": order}

    def check_state(self, state: dict[str, Any]) -> int:
        """The step to go on from.

        Raises:
            V2SError: the state is that of other data or another order, so the run could not continue as it would have.
        """
        here = self.state(0)["order"]
        for name in here | state["order"]:
            before, value = state["order"].get(name), here.get(name)
            if before != value:
                raise V2SError(
                    f"the checkpoint was trained on data with {name} {before!r}, but {self.dataset.path} "
                    f"({self.dataset.split}) gives {value!r}; resume with the same data and settings, or start anew"
                )
        return state["step"]

    def _embedding_size(self) -> int:
        """That of each data set's first record, since an encoder gives the same length to all.

        Raises:
            V2SError: two data sets have different ones.
        """
        firsts = self.indices[np.unique(self.dataset.sources[self.indices], return_index=True)[1]]
        records = [self.dataset.read(int(index), {"face_embedding"}) for index in firsts]
        sizes = sorted({len(np.asarray(record.face_embedding)) for record in records})
        if len(sizes) > 1:
            raise V2SError(
                f"the data sets {self.dataset.path} have face embeddings of {sizes[0]} and of {sizes[1]} numbers, of "
                "different encoders; run v2s-jax prepare tokens with one --face-encoder on all of them"
            )
        return sizes[0]

    def _rows(self, rows: Sequence[int] | None) -> Sequence[int]:
        return range(self.config.batch_size) if rows is None else rows

    def _run(self, steps: grain.MapDataset, make: "_MakeBatch") -> Generator[Batch, None, None]:
        config = self.config
        options = grain.ReadOptions(
            num_threads=config.threads, prefetch_buffer_size=max(config.prefetch, config.threads)
        )
        dataset = steps.map(make).to_iter_dataset(options)
        if config.workers:
            if not flags.FLAGS.is_parsed():  # Grain's workers read absl flags; this program has none of its own
                flags.FLAGS.mark_as_parsed()
            parallel = grain.MultiprocessingOptions(config.workers, per_worker_buffer_size=config.prefetch)
            dataset = dataset.mp_prefetch(parallel)
        iterator = iter(dataset)
        try:
            for arrays in iterator:
                yield Batch(**arrays)
        finally:
            iterator.close()


class _MakeBatch:
    """Builds a host's rows of the batch of a step; a dict, since Grain's workers need not know Batch."""

    def __init__(self, loader: Loader, rows: Sequence[int], evaluation: list[BatchPlan] | None = None):
        self._dataset, self._fields, self._seed = loader.dataset, loader.fields, loader.seed
        self._plan, self._evaluation, self._rows = loader._plan, evaluation, rows
        self._augment = loader.config.augment if evaluation is None else NO_AUGMENT
        self._embedding_size = loader.embedding_size

    def __call__(self, step: int) -> dict[str, np.ndarray]:
        plan = self._plan.batch(step) if self._evaluation is None else self._evaluation[step]
        batch = {name: self._zeros(name, plan.bucket) for name in self._fields}
        batch["length"] = np.zeros(len(self._rows), np.int32)
        for place, row in enumerate(self._rows):
            index = int(plan.indices[row])
            if index != EMPTY:
                rng = np.random.default_rng((self._seed, int(step), row))
                self._fill(batch, place, index, plan.bucket, rng)
        return batch

    def _zeros(self, name: str, bucket: int) -> np.ndarray:
        return np.zeros(batch_shape(name, len(self._rows), bucket, self._embedding_size), batch_dtype(name))

    def _fill(
        self, batch: dict[str, np.ndarray], place: int, index: int, bucket: int, rng: np.random.Generator
    ) -> None:
        """Reads a record, or a random window as long as the bucket, into row `place`."""
        spare = int(self._dataset.lengths[index]) - bucket
        start = int(rng.integers(0, spare + 1)) if spare > 0 else 0
        window = (start, start + bucket) if spare > 0 else None
        record = self._dataset.read(index, self._fields - MADE_HERE, window)
        batch["length"][place] = record.n_frames
        drawn = draw(self._augment, record.n_frames, rng)
        for name in self._fields - MADE_HERE:
            fill_row(batch[name][place], name, record, drawn)
        if "speaker_id" in self._fields:
            batch["speaker_id"][place] = zlib.crc32(record.speaker.encode()) >> 1  # as int32 holds it
        if "characters" in self._fields and window is None:
            codes = characters(record.text)
            batch["characters"][place, : len(codes)] = codes if len(codes) <= bucket else 0


def fill_row(out: np.ndarray, name: str, record: Record, drawn: Draw) -> None:
    """Writes field `name` of a record into a row of zeros."""
    value = getattr(record, name)
    if name == "mouth":
        cut_mouth(value, drawn, out[: record.n_frames])
    elif name == "expression":
        change(value, drawn, out[: record.n_frames])
    elif name == "face":
        out[:] = value[np.arange(len(out)) % len(value)]  # clips with fewer crops repeat them
    else:
        out[: len(value)] = value


def batch_shape(name: str, rows: int, bucket: int, embedding_size: int = 0) -> tuple[int, ...]:
    """The shape of a field in a batch of `rows` padded to `bucket` frames.

    Args:
        name: of the field.
        rows: of the batch.
        bucket: video frames.
        embedding_size: numbers in a face embedding.
    """
    if name == "mouth":
        return rows, bucket, CROP_SIZE, CROP_SIZE
    if name == "characters":
        return rows, bucket
    if name == "speaker_id":
        return (rows,)
    # What the schema leaves open is the number of identity crops, and how long an encoder's vectors are.
    left_open = embedding_size if name == "face_embedding" else FACE_CROPS
    return rows, *(left_open if size is None else size for size in array_shape(name, bucket))


def batch_dtype(name: str) -> np.dtype:
    """The type of a field's numbers in a batch."""
    return np.dtype(np.int32 if name in MADE_HERE else FIELDS[name].dtype)
