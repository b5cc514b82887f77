"""A face encoder of a few numbers as an ONNX file, written by hand: the package `onnx` is not needed to read one."""

from pathlib import Path

import numpy as np


def save_onnx(path: Path, weights: np.ndarray, taken=("N", 3, 112, 112), pooled_only: bool = False) -> Path:
    """A model that gives the mean colour of its input times `weights` [3, E] (or, if `pooled_only`, [N, 3, 1, 1])."""
    nodes = [_node("GlobalAveragePool", ["x"], "pooled")]
    if not pooled_only:
        nodes += [_node("Flatten", ["pooled"], "flat"), _node("Gemm", ["flat", "w"], "y")]
    tensor = b"".join(_number(1, size) for size in weights.shape) + _number(2, 1)  # dims, float
    tensor += _field(8, b"w") + _field(9, weights.astype("<f4").tobytes())
    given = ("N", 3, 1, 1) if pooled_only else ("N", weights.shape[1])
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"small") + _field(5, tensor)
    graph += _field(11, _value("x", taken)) + _field(12, _value("pooled" if pooled_only else "y", given))
    opset = _field(1, b"") + _number(2, 13)
    path.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, opset))
    return path


def expected(weights: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """What the encoder of such a model must say of faces [K, 112, 112, 3]."""
    vectors = ((faces.astype(np.float64) - 127.5) / 127.5).mean((1, 2)) @ weights
    mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(0)
    return mean / np.linalg.norm(mean)


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _field(tag: int, content: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(content)) + content


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    return b"".join(_field(1, name.encode()) for name in inputs) + _field(2, output.encode()) + _field(4, kind.encode())


def _value(name: str, shape: tuple) -> bytes:
    sizes = [_field(2, size.encode()) if isinstance(size, str) else _number(1, size) for size in shape]
    tensor = _number(1, 1) + _field(2, b"".join(_field(1, size) for size in sizes))  # floats
    return _field(1, name.encode()) + _field(2, _field(1, tensor))
