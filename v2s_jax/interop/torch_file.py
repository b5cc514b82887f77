"""Weights files of other programs read as trees of numpy arrays: PyTorch's, old and new, and safetensors.

Neither PyTorch nor anything that a file names is needed or imported, and nothing in a file is run. Arrays are read-only
views of the file, which is read where and when they are used; leave it as it is meanwhile.
"""

import json
import mmap
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from v2s_jax.errors import V2SError
from v2s_jax.interop.records import Refused, shown
from v2s_jax.interop.torch_legacy import read_legacy
from v2s_jax.interop.torch_zip import read_zip

_MAX_HEADER = 100_000_000  # bytes of a safetensors header; the library's own limit
_DAMAGE = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
    *(struct.error, zlib.error, zipfile.BadZipFile, zipfile.LargeZipFile, SafetensorError),
)
_OTHERS = (  # how files begin that are mistaken for weights
    (b"version https://git-lfs", "it is a git-lfs pointer and not the file itself; fetch the real file (git lfs pull)"),
    (b"<", "it is a web page, such as a download's question or error; download the file itself"),
    (b"{", "it is JSON; name the weights file beside it"),
    (b"\x89HDF", "it is an HDF5 file (Keras?); expected a PyTorch or safetensors file"),
    (b"\x93NUMPY", "it is a NumPy array; expected a PyTorch or safetensors file"),
    (b"\x1f\x8b", "it is packed with gzip; unpack it first"),
)
_SAFE_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "C64": np.complex64,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_checkpoint(path: str | os.PathLike) -> Any:
    """What a weights file holds: dicts, lists, numbers, text and numpy arrays.

    Objects of classes that are not known here become inert `records.Record`s (`records.plain` turns configs among them
    into dicts). Arrays keep the file's dtype, bfloat16 as `ml_dtypes.bfloat16`; parameters and tensors are alike.

    Args:
        path: of a file that `torch.save` wrote (`.pt`, `.pth`, `.bin`, `.ckpt`), of either format, or of a safetensors
            file, whose tree is a flat dict of arrays. The content decides, not the name.

    Raises:
        V2SError: the file is missing, damaged, of another kind, or asks to call anything beyond a short list.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            return _read(path, file)
    except Refused as error:
        raise V2SError(f"{path}: {error}") from error
    except _DAMAGE as error:
        reason = shown(f"{type(error).__name__}: {error}")
        raise V2SError(f"{path}: damaged or cut short ({reason}); fetch the file again") from error


def _opened(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
    except OSError as error:
        raise V2SError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if stat.S_ISDIR(mode):
        raise Refused("it is a folder; name the weights file in it, such as pytorch_model.bin or model.safetensors")
    raise Refused("it is no file; expected a PyTorch or safetensors file")


def _read(path: Path, file: BinaryIO) -> Any:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise Refused("it is empty; fetch the file again")
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # Before PyTorch's two: a header's length may begin with their first bytes, while neither has a brace at byte 8.
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= _MAX_HEADER:
        return _read_safetensors(path, data)
    if data[:2] == b"PK":
        return read_zip(file, data)
    if data[:1] == b"\x80":
        return read_legacy(data)
    if data[257:262] == b"ustar":
        raise Refused(
            "it is a tar archive, as PyTorch wrote before 2018; open it with torch.load and torch.save it again"
        )
    for begin, reason in _OTHERS:
        if data[:64].lstrip().startswith(begin):
            raise Refused(reason)
    if path.suffix == ".safetensors":
        return _read_safetensors(path, data)  # which says what is wrong
    raise Refused("it is no weights file; expected one of PyTorch (.pt, .pth, .bin) or safetensors")


def _read_safetensors(path: Path, data: mmap.mmap) -> dict[str, np.ndarray]:
    """A safetensors file's arrays: the library checks its header, and views of the file serve for every dtype."""
    with safe_open(path, "numpy"):
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    odd = sorted({entry["dtype"] for entry in header.values()} - _SAFE_DTYPES.keys())
    if odd:
        raise Refused(f"it stores numbers as {', '.join(odd)}, which is not read here; convert the weights to float32")
    whole = np.frombuffer(data, np.uint8)[8 + length :]
    return {
        name: whole[slice(*entry["data_offsets"])].view(_SAFE_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }
