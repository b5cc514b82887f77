"""A data set of a few synthetic records, without any clip."""

from pathlib import Path

from tests.data.conftest import NoCorpus, make_record
from v2s_jax.data.builder import build
from v2s_jax.data.metadata import write_metadata
from v2s_jax.data.schema import encode


def save_small_data(folder: Path, lengths: tuple[int, ...]) -> Path:
    """Writes records of so many frames each as the split `train`; returns the data set's folder."""
    staged = []
    for number, frames in enumerate(lengths):
        staged.append(folder / f"{number}.example")
        staged[-1].write_bytes(encode(make_record(number, frames)))
    made, metadata = build(NoCorpus(), {"train": staged}, folder / "built")
    write_metadata(made, metadata)
    return made
