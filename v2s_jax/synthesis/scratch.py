"""Room for what grows with the length of a clip: memory for little, a file without a name for much."""

import contextlib
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

LARGE = 32_000_000  # bytes; mouth crops of two minutes
_BLOCK = 1 << 20  # rows or samples worked on at once


_folder: Path | None = None  # the system's for temporary files


@contextlib.contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """While the block lasts, such files are in this folder: the system's may be in memory, too."""
    global _folder
    before, _folder = _folder, folder
    try:
        yield
    finally:
        _folder = before


def empty(shape: tuple[int, ...], dtype: Any) -> Shaped[np.ndarray, "..."]:
    """An array to fill: in memory, or above `LARGE` bytes in a mapped file, whose pages the system may write out.

    The file has no name any more, so that nothing is left of it whatever ends the process.

    Args:
        shape: of the array.
        dtype: likewise.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    if size <= LARGE:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=_folder) as file:
        os.truncate(file.fileno(), size)
        return np.frombuffer(mmap.mmap(file.fileno(), size), dtype).reshape(shape)


def large(name: str, shape: tuple[int, ...], dtype: Any) -> Shaped[np.ndarray, "..."] | None:
    """`empty` for a `media.clip.load_clip` that needs it, None for one that can do with memory."""
    del name
    return empty(shape, dtype) if int(np.prod(shape)) * np.dtype(dtype).itemsize > LARGE else None


def new_file(path: Path, shape: tuple[int, ...], dtype: Any) -> Shaped[np.ndarray, "..."]:
    """A mapped array in a new file, to be handed to another process by `adopt`."""
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def adopt(path: Path) -> Shaped[np.ndarray, "..."]:
    """The array in such a file, read-only, whose name goes."""
    array = np.load(path, mmap_mode="r")
    path.unlink()
    return array


def blockwise(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray) -> np.ndarray:
    """What a function of rows gives for all of them, a block at a time, with room as of `empty`."""
    rows = max(1, _BLOCK // max(1, int(np.prod(array.shape[1:]))))
    if len(array) <= rows:
        return function(array)
    result = empty(array.shape, array.dtype)
    for start in range(0, len(array), rows):
        result[start : start + rows] = function(array[start : start + rows])
    return result
