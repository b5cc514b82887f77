"""An interpreter of pickles that runs nothing: it imports nothing, finds nothing by name and calls none of the file's.

Opcodes are taken apart by the standard library's `pickletools`; what they do is written here. A mention of a class or
function becomes a `Global`, an object of a class that is not known becomes a `Record`, and a call is made only in the
sense of `rebuild.ALLOWED`; any other is refused by name. Time and memory are bounded by the pickle's own length.
"""

import mmap
import pickletools
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from v2s_jax.interop.rebuild import Pending, construct, key
from v2s_jax.interop.records import Damaged, Global, Record, Refused, check_tree
from v2s_jax.interop.tensors import DTYPES, MAX_EXPANDED

MAX_BYTES = 1 << 28  # of a pickle, tensors not counted
MAX_STEPS = 20_000_000
MAX_BUILT = 1 << 28  # bytes and elements given to all calls together: one string can be mentioned a million times
_MAX_NAME = 256
_MAX_INT_BITS = 2048
_VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)  # opcodes that push what pickletools made of them
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # of Python 2


class Part:
    """A stretch of a file's bytes that `pickletools` reads like a file, and never beyond."""

    def __init__(self, data: bytes | mmap.mmap, start: int = 0, stop: int | None = None):
        self._data, self._at = data, start
        self._stop = min(len(data) if stop is None else stop, start + MAX_BYTES)

    def read(self, count: int) -> bytes:
        """The next bytes, fewer at the end."""
        begin, self._at = self._at, min(self._at + count, self._stop)
        return self._data[begin : self._at]

    def readline(self) -> bytes:
        """The bytes to the next line feed, or to the end."""
        end = self._data.find(b"\n", self._at, self._stop)
        return self.read((self._stop if end < 0 else end + 1) - self._at)

    def tell(self) -> int:
        """Where in the data the next byte lies."""
        return self._at


def load(part: Part, persistent: Callable[[Any], Any] | None = None, size: int = 0) -> Any:
    """Reads one pickle, and leaves `part` at its end.

    Args:
        part: where it begins.
        persistent: given what the file says of a storage, returns its array [N].
        size: of the whole file in bytes; it may have as many numbers in tensors larger than their storages.

    Raises:
        Refused: it asks for what is not given here.
        ValueError, LookupError, TypeError, ArithmeticError: it is damaged.
    """
    machine = _Machine(persistent, max(size, MAX_EXPANDED))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes in text
        for steps, (code, argument, _) in enumerate(pickletools.genops(cast(Any, part))):
            if steps > MAX_STEPS:
                raise Refused(f"its pickle has more than {MAX_STEPS} steps, which no checkpoint needs")
            machine.step(code.name, argument)
    tree = machine.stack.pop()
    check_tree(tree)
    return tree


class _Machine:
    """Stack, marks and memo of one pickle. A method `do_X` does the opcode X; what has no method is refused."""

    def __init__(self, persistent: Callable[[Any], Any] | None, room: int):
        self.stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._persistent = persistent
        self._built, self._room = 0, room

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            if type(argument) is int and argument.bit_length() > _MAX_INT_BITS:
                raise Damaged("it holds an integer of hundreds of digits")
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name not in ("PROTO", "FRAME", "STOP"):
            action = getattr(self, f"do_{name}", None)
            if action is None:
                raise Refused(f"its pickle uses {name}, which no checkpoint needs; get the file from another source")
            action(argument)

    # Text, groups and the memo

    def do_BINSTRING(self, argument: str) -> None:
        """A byte string of Python 2: text where it is UTF-8, as `torch.load` has it."""
        raw = argument.encode("latin-1")
        try:
            self.stack.append(raw.decode())
        except UnicodeDecodeError:
            self.stack.append(raw)

    do_STRING = do_SHORT_BINSTRING = do_BINSTRING

    def do_MARK(self, _: Any) -> None:
        self._marks.append(self.stack)
        self.stack = []

    def _group(self) -> list[Any]:
        values, self.stack = self.stack, self._marks.pop()
        return values

    def _last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("more is taken than was put")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def do_POP(self, _: Any) -> None:
        self.stack.pop() if self.stack else self._group()

    def do_POP_MARK(self, _: Any) -> None:
        self._group()

    def do_DUP(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def do_PUT(self, index: int) -> None:
        value = self.stack[-1]
        if isinstance(value, Pending):
            value.slots.append(index)
        self._memo[index] = value

    do_BINPUT = do_LONG_BINPUT = do_PUT

    def do_MEMOIZE(self, _: Any) -> None:
        self.do_PUT(len(self._memo))

    def do_GET(self, index: int) -> None:
        self.stack.append(self._memo[index])

    do_BINGET = do_LONG_BINGET = do_GET

    # Containers

    def do_TUPLE(self, _: Any) -> None:
        values = self._group()
        self.stack.append(tuple(values))

    def do_TUPLE1(self, _: Any) -> None:
        self.stack.append(tuple(self._last(1)))

    def do_TUPLE2(self, _: Any) -> None:
        self.stack.append(tuple(self._last(2)))

    def do_TUPLE3(self, _: Any) -> None:
        self.stack.append(tuple(self._last(3)))

    def do_LIST(self, _: Any) -> None:
        values = self._group()
        self.stack.append(values)

    def do_DICT(self, _: Any) -> None:
        values = self._group()
        self.stack.append({})
        self._assign(values)

    def do_FROZENSET(self, _: Any) -> None:
        values = self._group()
        self.stack.append(frozenset(map(key, values)))

    def do_APPEND(self, _: Any) -> None:
        self._extend(self._last(1))

    def do_APPENDS(self, _: Any) -> None:
        self._extend(self._group())

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list | Record):
            raise Damaged(f"it appends to a {type(target).__name__}")
        (target.items if isinstance(target, Record) else target).extend(values)

    def do_ADDITEMS(self, _: Any) -> None:
        values = self._group()
        if isinstance(self.stack[-1], set):
            self.stack[-1].update(map(key, values))
        else:
            self._extend(values)

    def do_SETITEM(self, _: Any) -> None:
        self._assign(self._last(2))

    def do_SETITEMS(self, _: Any) -> None:
        self._assign(self._group())

    def _assign(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict | Record):
            raise Damaged(f"it sets keys of a {type(target).__name__}")
        pairs = zip(map(key, values[::2]), values[1::2], strict=True)
        target.pairs.extend(pairs) if isinstance(target, Record) else target.update(pairs)

    # Mentions, calls and objects

    def do_GLOBAL(self, argument: str) -> None:
        self._mention(*argument.split(" ", 1))

    def do_STACK_GLOBAL(self, _: Any) -> None:
        self._mention(*self._last(2))

    def _mention(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str) and len(module) + len(name) <= _MAX_NAME):
            raise Damaged("it mentions a class by what is no name")
        module = _OLD_NAMES.get(module, module)
        is_dtype = module == "torch" and name in DTYPES
        self.stack.append(np.dtype(DTYPES[name]) if is_dtype else Global(module, name))

    def do_REDUCE(self, _: Any) -> None:
        target, args = self._last(2)
        self._construct(target, args, called=True)

    def do_NEWOBJ(self, _: Any) -> None:
        target, args = self._last(2)
        self._construct(target, args, called=False)

    def do_NEWOBJ_EX(self, _: Any) -> None:
        target, args, named = self._last(3)
        if not isinstance(args, tuple):
            raise Damaged("it makes an object without arguments")
        self._construct(target, (*args, named), called=False)

    def do_INST(self, argument: str) -> None:
        args = self._group()
        self.do_GLOBAL(argument)
        self._construct(self.stack.pop(), tuple(args), called=True)

    def do_OBJ(self, _: Any) -> None:
        target, *args = self._group()
        self._construct(target, tuple(args), called=True)

    def _construct(self, target: Any, args: Any, called: bool) -> None:
        for arg in args if isinstance(args, tuple) else ():
            self._built += 1 + len(arg) if isinstance(arg, _SIZED) else 1
        if self._built > MAX_BUILT:
            raise Refused(f"it asks to build more than {MAX_BUILT} bytes or values, which no checkpoint needs")
        made = construct(target, args, called)
        is_new = isinstance(made, np.ndarray) and not any(made is arg for arg in args)
        if is_new and isinstance(made.base, np.ndarray) and made.nbytes > made.base.nbytes:
            self._room -= made.size  # it costs a few bytes of the file, and its full size wherever it is copied
            if self._room < 0:
                raise Refused("its tensors repeat more numbers than it holds; get the file from another source")
        self.stack.append(made)

    def do_BUILD(self, _: Any) -> None:
        """Gives an object its state: kept in a record; a dict's attributes (a state dict's `_metadata`) are dropped."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif isinstance(target, Pending):
            self.stack[-1] = target.finished(state)
            self._memo.update((slot, self.stack[-1]) for slot in target.slots)
        elif not isinstance(target, dict):
            what = target if isinstance(target, Global) else f"a {type(target).__name__}"
            raise Refused(f"it sets attributes of {what}; get the file from a source that you trust")

    def do_BINPERSID(self, _: Any) -> None:
        if self._persistent is None:
            raise Damaged("its pickle asks for data from outside where there are none")
        self.stack.append(self._persistent(self.stack.pop()))
