"""What `torch.save` wrote before PyTorch 1.6: five pickles one after the other, then the storages' numbers.

The pickles: a magic number, the protocol, facts about the system, the object, and the keys of the storages in order.
Storages are little-endian on every machine, each after its length.
"""

import mmap
from typing import Any

import numpy as np

from v2s_jax.interop.pickles import Part, load
from v2s_jax.interop.records import Damaged, Global, Refused, shown
from v2s_jax.interop.torch_zip import storage_id

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_legacy(data: mmap.mmap) -> Any:
    """The tree of a legacy file; its arrays are views of `data`.

    Raises:
        Refused: it is another kind of pickle, or asks for what is not given.
        ValueError and others: it is damaged.
    """
    if _one(data, 0)[0] != _MAGIC:
        raise Refused("it is a pickle, but none that torch.save wrote; expected a PyTorch checkpoint")
    protocol, at = _one(data, _one(data, 0)[1])
    if protocol != _PROTOCOL:
        raise Refused(f"it is a PyTorch file of an unknown kind; expected protocol {_PROTOCOL}")
    _, begin = _one(data, at)
    storages = _Storages(np.frombuffer(data, np.uint8))
    # Where the storages lie is known only once the object has been read: it is read twice, first for their lengths.
    _, at = _one(data, begin, storages)
    keys, at = _one(data, at)
    storages.place(keys, at)
    return _one(data, begin, storages)[0]


def _one(data: mmap.mmap, start: int, storages: "_Storages | None" = None) -> tuple[Any, int]:
    """A pickle's tree, and where it ends."""
    part = Part(data, start)
    return load(part, storages, len(data)), part.tell()


class _Storages:
    """The storages of a legacy file; until they are placed, any bytes of the right number stand in for them."""

    def __init__(self, whole: np.ndarray):
        self._whole = whole
        self._bytes: dict[str, int] = {}
        self._begin: dict[str, int] = {}
        self._width: dict[str, int] = {}

    def place(self, keys: Any, at: int) -> None:
        """Finds the storages, which begin at byte `at` in the order of `keys`.

        Raises:
            Refused: they are not those that the object names, or reach beyond the file.
        """
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Damaged("its list of storages is none")
        if set(keys) != self._bytes.keys() or len(keys) != len(self._bytes):
            raise Damaged("its list of storages is not that of its tensors")
        for key in keys:
            length = int.from_bytes(self._whole[at : at + 8].tobytes(), "little")
            if length * self._width[key] != self._bytes[key] or at + 8 + self._bytes[key] > len(self._whole):
                raise Damaged(f"its storage {shown(key)} has not the length that its tensors need")
            self._begin[key] = at + 8
            at += 8 + self._bytes[key]

    def __call__(self, saved: Any) -> Any:
        """The numbers [N] that a pickle's persistent id stands for, or the class it names beside its source code."""
        if isinstance(saved, tuple) and len(saved) == 4 and saved[0] == "module" and isinstance(saved[1], Global):
            return saved[1]
        dtype, key, count, view = storage_id(saved, 6)
        size = count * dtype.itemsize
        if self._bytes.setdefault(key, size) != size or size > len(self._whole):
            raise Damaged("its tensors disagree about the length of a storage")
        self._width[key] = dtype.itemsize
        begin = self._begin.get(key, 0)
        array = self._whole[begin : begin + size].view(dtype)
        return array if view is None else _viewed(array, view)


def _viewed(array: np.ndarray, view: Any) -> np.ndarray:
    """A part of a storage that was a storage of its own: (key, offset, length), in elements."""
    if not isinstance(view, tuple) or len(view) != 3 or not all(type(part) is int and part >= 0 for part in view[1:]):
        raise Damaged("it holds a view of a storage without offset and length")
    offset, count = view[1:]
    if offset + count > len(array):
        raise Damaged("it holds a view of a storage that reaches beyond it")
    return array[offset : offset + count]
