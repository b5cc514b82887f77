"""The short allow-list: what a checkpoint may ask to call, and what is done in its stead.

Nothing here is looked up by a name from the file. Every entry is a function of this file that checks what it is given
and builds plain values or numpy arrays (formats as numpy's `ndarray.__setstate__` defines them).
"""

import math
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from v2s_jax.interop.records import Damaged, Global, Record, Refused, shares_hash, shown
from v2s_jax.interop.tensors import TENSORS, lengths, typed

_CALL = (
    "it asks to call {}, which reading weights never needs; nothing was run. Get the file from a source that you "
    "trust, or have its weights saved alone"
)
_CLASS = re.compile(r"_*[A-Z]\w*")  # a class by custom; functions are written small
_STANDARD = sys.stdlib_module_names | {"__builtin__", "commands", "exceptions", "pip", "setuptools"}
_TORCH = {"torch", "torchvision", "torchaudio", "numpy", "ml_dtypes"}
_HARMLESS = {  # classes of the standard library that settings hold, kept as records too
    "argparse": ("Namespace",),
    "types": ("SimpleNamespace",),
    "pathlib": ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    "pathlib._local": ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    "datetime": ("datetime", "date", "time", "timedelta", "timezone"),
}
_CONSTRUCTORS = ("_reconstructor", "__newobj__", "__newobj_ex__")
_NUMPY_TYPE = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6}")  # no objects, no records


class Pending:
    """An array or dtype of numpy until its state arrives; `slots` is where the memo has it."""

    def __init__(self, value: np.dtype | None):
        self.value = value
        self.slots: list[int] = []

    def finished(self, state: Any) -> Any:
        """The array or dtype that `state` makes of it.

        Raises:
            Refused: the state is of another form, or of an array of Python objects.
        """
        return _array(state) if self.value is None else _ordered(self.value, state)


def key(value: Any) -> Any:
    """`value` if it may be a key of a dict or member of a set.

    Hashing a nested tuple can take forever, and so can a dict of numbers that have one hash.

    Raises:
        Refused: it may not.
    """
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) > 16 or not all(
        isinstance(part, str | bytes | int | float | None | Record | Global) for part in parts
    ):
        raise Damaged(f"it uses a {type(value).__name__} as a key")
    if any(map(shares_hash, parts)):
        raise Damaged("it uses a number of more than eighteen digits as a key")
    return value


def _numpy_dtype(code: Any, *_: Any) -> Pending:
    code = _text(code)
    if not _NUMPY_TYPE.fullmatch(code):
        raise Refused(f"it holds a numpy array of type {shown(code)}; only numbers and short strings are read")
    return Pending(np.dtype(code))


def _ordered(dtype: np.dtype, state: Any) -> np.dtype:
    order: Any = _text(state[1]) if isinstance(state, tuple) and len(state) >= 2 else ""
    if order not in ("<", ">", "|", "="):
        raise Damaged("it holds a numpy type without a byte order")
    return dtype.newbyteorder(order)


def _array(state: Any) -> np.ndarray:
    if not isinstance(state, tuple) or len(state) != 5:
        raise Damaged("it holds a numpy array in an unknown form")
    _, shape, dtype, by_columns, content = state
    return _filled(content, dtype, shape, "F" if by_columns else "C")


def _filled(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, np.dtype) or order not in ("C", "F"):
        raise Damaged("it holds a numpy array without a type")
    content = _octets(content)
    if math.prod(lengths(shape)) * dtype.itemsize != len(content):
        raise Damaged(f"it holds a numpy array of shape {shape} in {len(content)} bytes")
    flat = np.frombuffer(content, dtype) if content else np.zeros(0, dtype)
    return flat.reshape(shape, order=order)


def _scalar(dtype: Any, content: Any) -> Any:
    return _filled(content, dtype, (), "C").item()


def _start_array(kind: Any, *_: Any) -> Pending:
    if not isinstance(kind, Global) or str(kind) != "numpy.ndarray":
        raise Damaged("it holds a numpy array of an unknown class")
    return Pending(None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _octets(value).decode()


def _octets(value: Any) -> bytes:
    """Bytes; a byte string of Python 2 that was valid UTF-8 has become text on the way."""
    if not isinstance(value, str | bytes | bytearray):
        raise Damaged(f"it holds a {type(value).__name__} where bytes belong")
    return value.encode() if isinstance(value, str) else bytes(value)


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or _text(encoding).lower() not in ("latin1", "latin-1"):
        raise Damaged("it holds bytes in an unknown encoding")
    return text.encode("latin-1")


def _bytearray(content: Any = b"", encoding: Any = None) -> bytearray:
    return bytearray(_octets(content) if encoding is None else _encoded(content, encoding))


def _bytes() -> bytes:
    return b""


def _listed(values: Any) -> list | tuple | set | frozenset:
    """What is all there: iterating over a range, say, could go on forever."""
    if not isinstance(values, list | tuple | set | frozenset):
        raise Damaged(f"it holds a {type(values).__name__} where a list belongs")
    return values


def _dict(content: Any = ()) -> dict:
    pairs = content.items() if isinstance(content, dict) else _listed(content)
    return {key(name): value for name, value in pairs}


def _defaultdict(factory: Any = None, content: Any = ()) -> dict:
    return _dict(content)


def _size(values: Any = ()) -> tuple[int, ...]:
    return lengths(tuple(_listed(values)))


def _device(kind: Any, index: Any = None) -> str:
    return _text(kind) if index is None else f"{_text(kind)}:{int(index)}"


def _integers(kind: Callable[..., Any]) -> Callable[..., Any]:
    def build(*args: Any) -> Any:
        if not all(arg is None or type(arg) is int for arg in args):
            raise Damaged(f"it holds a {kind.__name__} of no integers")
        return kind(*args)

    return build


def _complex(real: Any, imaginary: Any) -> complex:
    return complex(float(real), float(imaginary))


def _subscript(generic: Any, _: Any) -> Any:
    """`typing.List[int]` and its like, which omegaconf keeps beside values: the generic alone."""
    if not isinstance(generic, Global) or generic.module != "typing":
        raise Refused(_CALL.format("operator.getitem"))
    return generic


def _type(value: Any) -> Global:
    """`type(None)`, which is how the class of None is written."""
    if value is not None:
        raise Refused(_CALL.format("builtins.type"))
    return Global("types", "NoneType")


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    **{("torch._utils", name): build for name, build in TENSORS.items()},
    ("torch._tensor", "_rebuild_from_type_v2"): typed,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("numpy", "dtype"): _numpy_dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _start_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _filled for core in ("core", "_core")},
    ("collections", "OrderedDict"): _dict,
    ("collections", "Counter"): _dict,
    ("collections", "defaultdict"): _defaultdict,
    ("_codecs", "encode"): _encoded,
    **{(module, "getitem"): _subscript for module in ("operator", "_operator")},
    ("builtins", "set"): lambda items=(): set(map(key, _listed(items))),
    ("builtins", "frozenset"): lambda items=(): frozenset(map(key, _listed(items))),
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytearray,
    ("builtins", "complex"): _complex,
    **{("builtins", name): _integers(range) for name in ("range", "xrange")},
    ("builtins", "slice"): _integers(slice),
    ("builtins", "type"): _type,
}


def construct(target: Any, args: Any, called: bool) -> Any:
    """What takes the place of a call or of a new object: a known value, or else an inert record.

    A class of the standard library, whose call may do anything (`subprocess.Popen`), is refused like a function.
    PyTorch's and numpy's are refused when called, and become records when only made, as in a pickled model.

    Args:
        target: what was to be called.
        args: with what.
        called: whether it is a call, and not an object made without its `__init__`.

    Raises:
        Refused: it is neither on the allow-list nor an unknown class.
    """
    if not isinstance(target, Global) or not isinstance(args, tuple):
        raise Refused("it calls what is no class or function; get the file from a source that you trust")
    module, name = target.module, target.name
    if (module, name) in ALLOWED:
        return ALLOWED[module, name](*args)
    if module == "copyreg" and name in _CONSTRUCTORS:
        return _constructed(name, *args)
    root = module.partition(".")[0]
    harmless = name in _HARMLESS.get(module, ())
    unknown = root not in _STANDARD and not (called and root in _TORCH) and _CLASS.fullmatch(name.rpartition(".")[2])
    if harmless or unknown:
        return Record(module, name, args)
    raise Refused(_CALL.format(target))


def _constructed(name: str, target: Any, *args: Any) -> Any:
    """Objects as protocols 0 and 1 write them: by a function of `copyreg`."""
    if name == "_reconstructor":  # class, its base, and what the base is to begin with
        return construct(target, args[1:] if args[1] is not None else (), called=False)
    if name == "__newobj_ex__":
        args = (*_listed(args[0]), args[1])
    return construct(target, args, called=False)
