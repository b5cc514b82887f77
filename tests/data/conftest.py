"""Synthetic records and a small data set made of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from v2s_jax.data.builder import build
from v2s_jax.data.corpus import ClipSpec, Corpus
from v2s_jax.data.metadata import write_metadata
from v2s_jax.data.schema import Record, encode

# Lengths in frames of the records of each split; one is longer than a mosaic.
LENGTHS = {"train": [20, 31, 75, 12, 40, 50, 33, 75, 25, 61, 18, 300], "val": [30, 75, 44]}


class NoCorpus(Corpus):
    """A corpus by name only."""

    name = "synthetic"
    description = "Moving blobs."

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        raise AssertionError("not to be called")


def smooth_frames(rng: np.random.Generator, n_frames: int, size: int, channels: tuple[int, ...] = ()) -> np.ndarray:
    """Pictures with the smoothness of real ones, all different."""
    x = np.linspace(0, 2 * np.pi, size)
    phase = rng.uniform(0, 6, (n_frames, 2, *channels))
    shape = (n_frames, 1, 1, *channels)
    grid_y, grid_x = x.reshape(1, -1, 1, *([1] * len(channels))), x.reshape(1, 1, -1, *([1] * len(channels)))
    wave = np.sin(grid_y + phase[:, 0].reshape(shape)) + np.cos(2 * grid_x + phase[:, 1].reshape(shape))
    return (127 + 60 * wave).astype(np.uint8)


def make_record(number: int, n_frames: int, split: str = "train", silent: bool = False) -> Record:
    """A record whose content depends on its number alone."""
    rng = np.random.default_rng((n_frames, number))
    audio = 0.3 * np.sin(np.arange(640 * n_frames) * rng.uniform(0.01, 0.2)).astype(np.float32)
    return Record(
        id=f"{split}/clip{number:03d}",
        n_frames=n_frames,
        speaker=f"s{number % 3}",
        text=f"número {number}",
        source=f"clip{number:03d}.mp4",
        end_frame=n_frames,
        coverage=0.5 + number / 100,
        confidence=1.25,
        mouth=smooth_frames(rng, n_frames, 96),
        face=smooth_frames(rng, 3, 112, (3,)),
        audio=None if silent else audio,
        units=rng.integers(0, 2000, 2 * n_frames).astype(np.int16) if number % 2 else None,
        pitch=None if silent else rng.uniform(0, 400, 4 * n_frames).astype(np.float32),
        energy=None if silent else rng.normal(size=4 * n_frames).astype(np.float32),
        expression=None if silent else smooth_frames(rng, n_frames, 48),
        face_embedding=None if silent else rng.normal(size=5).astype(np.float32),
        draft=None if silent else rng.uniform(-11, 2, (4 * n_frames, 80)).astype(np.float16),
    )


@pytest.fixture(scope="session")
def records() -> dict[str, Record]:
    """The records of `dataset_dir` by id; the last one of `train` but one has no sound."""
    made = [
        make_record(number, n_frames, split, silent=split == "train" and n_frames == 18)
        for split, lengths in LENGTHS.items()
        for number, n_frames in enumerate(lengths)
    ]
    return {record.id: record for record in made}


@pytest.fixture(scope="session")
def dataset_dir(records, tmp_path_factory) -> Path:
    """A data set of the records, as `prepare` writes it."""
    staging = tmp_path_factory.mktemp("staging")
    staged: dict[str, list[Path]] = {}
    for record in records.values():
        path = staging / f"{record.id.replace('/', '_')}.example"
        path.write_bytes(encode(record))
        staged.setdefault(record.id.split("/")[0], []).append(path)
    folder, metadata = build(NoCorpus(), staged, tmp_path_factory.mktemp("built"))
    write_metadata(folder, metadata)
    return folder
