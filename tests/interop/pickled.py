"""Pickles and checkpoints made by hand, opcode by opcode, so that they can be what no library writes."""

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np

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
