"""Pickles and checkpoints made by hand, opcode by opcode, so that they can be what no library writes."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np

from v2s_jax.interop.pickles import Part, load

STOP = b"."


def mention(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def literal(value: object) -> bytes:
    """A plain value as it lies inside a pickle: no protocol before it, no end after it."""
    return pickle.dumps(value, 2)[2:-1]


def call(module: str, name: str, *args: object) -> bytes:
    return mention(module, name) + literal(args) + b"R"


def storage(key: object = "0", count: object = 6, kind: bytes = mention("torch", "FloatStorage")) -> bytes:
    return b"(" + text("storage") + kind + literal(key) + text("cpu") + literal(count) + b"tQ"


def tensor(offset: object, size: object, stride: object, made: bytes | None = None) -> bytes:
    """A `_rebuild_tensor_v2` of the storage that `made` leaves on the stack."""
    parts = [storage() if made is None else made, *map(literal, (offset, size, stride, False, {}))]
    return mention("torch._utils", "_rebuild_tensor_v2") + b"(" + b"".join(parts) + b"tR"


def write_zip(
    path: Path,
    content: bytes,
    storages: dict[str, bytes] | None = None,
    prefix: str = "archive",
    method: int = zipfile.ZIP_STORED,
    **more: bytes,
) -> Path:
    """A checkpoint whose pickle is `content`; without `storages` it has the numbers 0 to 5 in float32 as storage 0."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(f"{prefix}/data.pkl", content)
        for name, value in more.items():
            archive.writestr(f"{prefix}/{name}", value)
        for key, value in (storages or {"0": np.arange(6, dtype=np.float32).tobytes()}).items():
            archive.writestr(f"{prefix}/data/{key}", value)
    return path


def read(data: bytes, **arrays: np.ndarray) -> object:
    """What our reader makes of a pickle, with arrays for its storages by their keys."""
    return load(Part(data), lambda saved: arrays[saved[2]])


def frames(name: str, *args: object) -> dict[str, bytes]:
    """The opcodes of a call, as five ways of asking for one."""
    module, name = name.rsplit(".", 1)
    packed = b"".join(map(literal, args))
    return {
        "REDUCE": mention(module, name) + b"(" + packed + b"tR",
        "STACK_GLOBAL": b"\x80\x04" + text(module) + text(name) + b"\x93(" + packed + b"tR",
        "INST": b"(" + packed + f"i{module}\n{name}\n".encode(),
        "OBJ": b"(" + mention(module, name) + packed + b"o",
        "memo": mention(module, name) + b"q\x07h\x07(" + packed + b"tR",
    }


class Touch:
    """Pickled, it is a call that makes a folder."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)
