"""Tensors and storages as PyTorch's `torch/_utils.py` defines them, as views of numpy arrays. No torch is needed.

Every function gets what a file says, so nothing about its arguments is certain.
"""

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from v2s_jax.interop.records import Damaged, Global, Refused

MAX_EXPANDED = 1 << 24  # elements of tensors larger than their storages, made by `expand`
_MAX_DIMS = 32
_STORAGE_MODULES = ("torch", "torch.storage", "torch.cuda")

DTYPES = {
    "float64": np.float64,
    "double": np.float64,
    "float32": np.float32,
    "float": np.float32,
    "float16": np.float16,
    "half": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "complex64": np.complex64,
    "complex128": np.complex128,
    "int64": np.int64,
    "long": np.int64,
    "int32": np.int32,
    "int": np.int32,
    "int16": np.int16,
    "short": np.int16,
    "int8": np.int8,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
}
STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "ComplexDoubleStorage": np.complex128,
    "ComplexFloatStorage": np.complex64,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "UntypedStorage": np.uint8,
}


def dtype_of(value: Any) -> np.dtype:
    """The dtype behind a storage's class, such as `torch.FloatStorage`.

    Raises:
        Refused: there is none.
    """
    if isinstance(value, Global) and value.module in _STORAGE_MODULES and value.name in STORAGES:
        return np.dtype(STORAGES[value.name])
    name = str(value) if isinstance(value, Global) else type(value).__name__
    raise Refused(f"it stores numbers as {name}, which is not read here; convert the weights to float32 and save again")


def tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> np.ndarray:
    """A view of a storage [N] as torch's `_rebuild_tensor_v2` makes it; offset and strides count elements.

    Raises:
        Refused: a part of it lies outside the storage.
    """
    if metadata:
        raise Refused("it holds a tensor with a pending conjugation or sign; resolve it in PyTorch and save again")
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise Damaged("it makes a tensor of something that is no storage")
    size, stride = lengths(size), lengths(stride)
    count, last = math.prod(size), sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if count == 0:
        return np.zeros(size, storage.dtype)
    if lengths((offset,))[0] + last >= len(storage) or count > max(len(storage), MAX_EXPANDED):
        raise Damaged(f"it holds a tensor of shape {size} that reaches beyond its {len(storage)} stored numbers")
    width = storage.dtype.itemsize
    strides = tuple(step * width for step in stride)
    return np.ndarray(size, storage.dtype, storage.view(np.uint8), offset * width, strides)


def lengths(values: Any) -> tuple[int, ...]:
    """Sizes or strides, which are few and not negative.

    Raises:
        Refused: these are others.
    """
    if not isinstance(values, tuple) or len(values) > _MAX_DIMS:
        raise Damaged("it holds a tensor whose shape is no short tuple")
    if not all(type(value) is int and 0 <= value < 1 << 48 for value in values):
        raise Damaged("it holds a tensor with an impossible size, stride or offset")
    return values


def _tensor_of_type(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> np.ndarray:
    if not isinstance(storage, np.ndarray) or storage.dtype != np.uint8 or not isinstance(dtype, np.dtype):
        raise Refused("it holds a tensor of an unknown type; convert the weights to float32 and save again")
    whole = storage[: len(storage) // dtype.itemsize * dtype.itemsize].view(dtype)
    return tensor(whole, offset, size, stride, metadata=metadata)


def _parameter(data: Any, *_: Any) -> np.ndarray:
    if not isinstance(data, np.ndarray):
        raise Damaged("it holds a parameter without numbers")
    return data


def typed(function: Any, kind: Any, args: Any, state: Any) -> np.ndarray:
    """The numbers of a subclass of tensor, or of one with attributes, as `_rebuild_from_type_v2` is told of them.

    Raises:
        Refused: it is no tensor of the kinds above.
    """
    build = TENSORS.get(function.name) if isinstance(function, Global) and function.module == "torch._utils" else None
    if build is None or not isinstance(args, tuple):
        raise Refused("it holds a tensor of an unknown kind; convert the weights to float32 and save again")
    return build(*args)


TENSORS: dict[str, Callable[..., Any]] = {
    "_rebuild_tensor": tensor,
    "_rebuild_tensor_v2": tensor,
    "_rebuild_tensor_v3": _tensor_of_type,
    "_rebuild_parameter": _parameter,
    "_rebuild_parameter_with_state": _parameter,
}
