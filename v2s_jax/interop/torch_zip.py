"""What `torch.save` writes since PyTorch 1.6: a zip archive with a pickle and one entry for every storage.

Entries are found by the archive's directory and read where they lie; nothing is extracted, so a name is only a name.
"""

import mmap
import zipfile
from typing import Any, BinaryIO

import numpy as np

from v2s_jax.interop.pickles import MAX_BYTES, Part, load
from v2s_jax.interop.records import Damaged, Refused, shown
from v2s_jax.interop.tensors import dtype_of

_MAX_ENTRIES = 1 << 17
_MAX_RATIO = 20  # of all unpacked bytes to the file's: weights hardly shrink
_HEADER = 30  # bytes of an entry's local header, before its name


def read_zip(file: BinaryIO, data: mmap.mmap) -> Any:
    """The tree of a zip archive; arrays that are stored uncompressed are views of `data`.

    Args:
        file: the archive.
        data: the same file in memory.

    Raises:
        Refused: it is no checkpoint, or asks for what is not given.
        zipfile.BadZipFile and others: it is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        content = _Archive(archive, data)
        pickle = content.entry("data.pkl")
        if len(pickle) > MAX_BYTES:
            raise Refused(f"its pickle has {len(pickle)} bytes, more than the {MAX_BYTES} that a checkpoint may need")
        if content.has("byteorder") and content.entry("byteorder").tobytes() != b"little":
            raise Refused(
                "its numbers are big-endian; save it again on a little-endian machine, such as any x86 or ARM"
            )
        return load(Part(pickle.tobytes()), content.storage, len(data))


class _Archive:
    """The entries of an archive that `torch.save` wrote, by their names below its one folder."""

    def __init__(self, archive: zipfile.ZipFile, data: mmap.mmap):
        entries = archive.infolist()
        self._archive, self._whole = archive, np.frombuffer(data, np.uint8)
        self._entries = {entry.filename: entry for entry in entries}
        self._arrays: dict[str, np.ndarray] = {}
        if len(entries) > _MAX_ENTRIES:
            raise Refused(f"it has {len(entries)} entries, more than the {_MAX_ENTRIES} that a checkpoint may need")
        if len(self._entries) < len(entries):
            raise Refused("two of its entries have one name; get the file from another source")
        if sum(entry.file_size for entry in entries) > _MAX_RATIO * len(data):
            raise Refused(f"it unpacks to more than {_MAX_RATIO} times its size; get the file from another source")
        self._prefix = _prefix(self._entries)

    def has(self, name: str) -> bool:
        return self._prefix + name in self._entries

    def entry(self, name: str) -> np.ndarray:
        """The bytes [N] of an entry, read-only."""
        info = self._entries.get(self._prefix + name)
        if info is None:
            raise Damaged(f"its entry {shown(name)} is missing")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused("it is encrypted or packed in a rare way; unpack it and pack it again as a plain zip archive")
        if info.compress_type == zipfile.ZIP_DEFLATED:
            return np.frombuffer(self._archive.read(info), np.uint8)
        # Checksums of stored entries are not looked at: to PyTorch they are optional, and weights are read on demand.
        header = self._whole[info.header_offset : info.header_offset + _HEADER].tobytes()
        if header[:4] != b"PK\3\4" or info.file_size != info.compress_size:
            raise Damaged(f"its entry {shown(name)} is not where it should be")
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        begin = info.header_offset + _HEADER + names
        if begin + info.file_size > len(self._whole):
            raise Damaged(f"its entry {shown(name)} reaches beyond its end")
        return self._whole[begin : begin + info.file_size]

    def storage(self, saved: Any) -> np.ndarray:
        """The numbers [N] that a pickle's persistent id stands for."""
        dtype, key, count, _ = storage_id(saved, 5)
        if key not in self._arrays:
            self._arrays[key] = self.entry(f"data/{key}")
        array = self._arrays[key]
        if count * dtype.itemsize > len(array):
            raise Damaged(f"its entry data/{shown(key)} has {len(array)} bytes instead of {count * dtype.itemsize}")
        return array[: count * dtype.itemsize].view(dtype)


def storage_id(saved: Any, length: int) -> tuple[np.dtype, str, int, Any]:
    """Dtype, key, number of elements and view of a storage as a pickle names it.

    Args:
        saved: ("storage", class, key, device, number of elements), in legacy files with the view at the end.
        length: of `saved`.

    Raises:
        Refused: it names something else.
    """
    if not isinstance(saved, tuple) or len(saved) != length or not isinstance(saved[0], str) or saved[0] != "storage":
        raise Damaged("its pickle names data that are no storage")
    _, kind, key, _, count, *view = saved
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise Damaged("its pickle names a storage without key or length")
    return dtype_of(kind), key, count, view[0] if view else None


def _prefix(names: Any) -> str:
    """The folder in which everything lies, with its slash."""
    found = [name.removesuffix("data.pkl") for name in names if name.rpartition("/")[2] == "data.pkl"]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise Refused(
            "it is a TorchScript program, not weights; open it with torch.jit.load and torch.save its state_dict()"
        )
    if len(found) != 1:
        raise Refused("it is a zip archive, but none that torch.save wrote; expected a checkpoint with one data.pkl")
    return found[0]
