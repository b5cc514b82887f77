import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

from tests.interop.pickled import STOP, call, frames, literal, mention, read, tensor, text, write_zip
from v2s_jax.errors import V2SError
from v2s_jax.interop.records import Global, Refused
from v2s_jax.interop.torch_file import read_checkpoint

PLAIN = [
    [None, True, False, 0, -1, 255, 70000, -(2**40), 2**200, 1.5, float("inf"), "text", "\N{SNOWMAN}", b"", b"\0\xff"],
    {"a": [1, 2], 3: (4, (5,)), None: {}, (1, "x"): set(), b"k": frozenset({1, 2}), 2.5: {"y", "z"}},
    [bytearray(b"abc"), 1 + 2j, range(1, 9, 2), slice(1, None, 2), "x" * 300, list(range(300)), (1, 2), (1, 2, 3, 4)],
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", PLAIN, ids=["scalars", "containers", "others"])
def test_plain_values_are_read_in_every_protocol(protocol, value):
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(6))
def test_sharing_survives(protocol):
    part = [1]
    tree = read(pickle.dumps({"a": part, "b": (part, part)}, protocol))
    assert tree["a"] is tree["b"][0] is tree["b"][1]


def test_pickles_of_python_2_are_read():
    """Byte strings are text where they are UTF-8 and bytes elsewhere; old names of modules are known."""
    data = b"(U\x03abcT\x02\0\0\0\xff\xfeS'a b'\nc__builtin__\nset\n((I1\nL2L\nltRl."
    assert read(data) == ["abc", b"\xff\xfe", "a b", {1, 2}]


@pytest.mark.parametrize("how", ["REDUCE", "STACK_GLOBAL", "INST", "OBJ", "memo"])
def test_unknown_classes_become_records(how):
    record = read(frames("fairseq.data.Enum", "value", 3)[how] + STOP)
    assert (record.module, record.name, record.args, record.state) == ("fairseq.data", "Enum", ("value", 3), None)


def test_records_keep_state_items_and_pairs():
    made = mention("my.lib", "Thing") + b")\x81"
    record = read(made + b"(K\x01K\x02e(K\x03K\x04u" + literal({"x": 1}) + b"b" + STOP)
    assert (record.items, record.pairs, record.state) == ([1, 2], [(3, 4)], {"x": 1})
    assert repr(record) == "Record(my.lib.Thing)"
    assert read(b"\x80\x04" + made + b"(K\x01K\x02\x90.").items == [1, 2]


@pytest.mark.parametrize("protocol", range(6))
def test_objects_of_every_protocol_become_records(protocol):
    """Protocols 0 and 1 make objects by a call of `copyreg._reconstructor`."""
    record = read(pickle.dumps(Settings(), protocol).replace(__name__.encode(), b"x" * len(__name__)))
    assert (record.name, record.args, record.state) == ("Settings", (), {"width": 3})


class Settings:
    def __init__(self):
        self.width = 3


def test_objects_with_keyword_arguments_keep_them():
    assert read(b"\x80\x04" + mention("a", "B") + literal((1,)) + literal({"k": 2}) + b"\x92.").args == (1, {"k": 2})
    assert read(mention("copyreg", "__newobj_ex__") + b"(" + mention("a", "B") + literal((1,)) + b"}tR.").args == (
        1,
        {},
    )
    assert read(mention("copy_reg", "__newobj__") + b"(" + mention("a", "B") + b"K\x01tR.").args == (1,)


def test_a_mention_is_no_call():
    assert read(b"]" + mention("os", "system") + b"a.") == [Global("os", "system")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (mention("collections", "OrderedDict") + b"}b.", "sets attributes of collections.OrderedDict"),
        (mention("os", "system") + b"}b.", "sets attributes of os.system"),
        (b"]}b.", "sets attributes of a list"),
        (tensor(0, (6,), (1,)) + b"}b.", "sets attributes of a ndarray"),
        (mention("torch", "float16") + b"}b.", "sets attributes of a "),
        (b"}K\x01a.", "appends to a dict"),
        (b")K\x01a.", "appends to a tuple"),
        (mention("os", "environ") + b"K\x01K\x02s.", "sets keys of a Global"),
        (b"]K\x00K\x02s.", "sets keys of a list"),
        (text("f") + b")R.", "calls what is no class or function"),
        (mention("a", "B") + b"]R.", "calls what is no class or function"),
        (mention("a", "B") + b")\x81)R.", "calls what is no class or function"),
        (b"\x82\x01.", "uses EXT1"),
        (b"\x97.", "uses NEXT_BUFFER"),
        (b"Pos.system\n.", "uses PERSID"),
        (b"\x8b" + struct.pack("<i", 5000) + b"\1" * 5000 + b".", "hundreds of digits"),
        (b"\x80\x04K\x01" + text("system") + b"\x93.", "mentions a class by what is no name"),
        (b"\x80\x04" + text("o" * 9999) + text("s") + b"\x93.", "mentions a class by what is no name"),
        (b"}]K\x01s.", "uses a list as a key"),
        (b"}K\x01\x85\x85K\x01s.", "uses a tuple as a key"),
        (b"\x8f(]\x90.", "uses a list as a key"),
        (b"\x80\x04(]\x91.", "uses a list as a key"),
        (call("builtins", "set", range(10**12)) + STOP, "a range where a list belongs"),
        (call("torch", "Size", range(10**12)) + STOP, "a range where a list belongs"),
        (call("collections", "OrderedDict", range(10**12)) + STOP, "a range where a list belongs"),
        (mention("a", "B") + literal(range(10**12)) + b"}\x92.", "makes an object without arguments"),
        (mention("copyreg", "__newobj_ex__") + b"(" + mention("a", "B") + literal(range(10**12)) + b"}tR.", "a range"),
        (call("torch._utils", "_rebuild_parameter", [1], True, {}) + STOP, "a parameter without numbers"),
        (call("torch._utils", "_rebuild_tensor_v3", 0, 0, (), (), True, {}, 0) + STOP, "a tensor of an unknown type"),
        (call("builtins", "range", "x") + STOP, "a range of no integers"),
        (call("_codecs", "encode", "x", "rot13") + STOP, "unknown encoding"),
        (call("builtins", "bytearray", 10**12) + STOP, "a int where bytes belong"),
        (call("builtins", "type", "x") + STOP, "asks to call builtins.type"),
        (call("_operator", "getitem", [1], 0) + STOP, "asks to call operator.getitem"),
    ],
)  # fmt: skip
def test_misuse_is_refused(data, message):
    with pytest.raises(Refused, match=message):
        read(data, **{"0": np.zeros(6, np.float32)})
    assert not hasattr(OrderedDict, "x") and not isinstance(os.environ, dict)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"K",
        b"0.",
        b"t.",
        b"\x85.",
        b"h\x05.",
        b"R.",
        b"K\x01R.",
        b"K\x01a.",
        b"}K\x01u.",
        b"}(K\x01u.",
        b"(o.",
    ]
    + [b"K\x01", b"\xff.", b"X\x05\0\0\0abc", b"I1", b"Ix\n.", b"cos\n", b"cos\nsystem", b"\x80", b"b.", b"]b.", b"e."]
    + [
        mention("torch", "Size") + literal((1, 2)) + b"R.",
        mention("collections", "OrderedDict") + literal(([1],)) + b"R.",
    ],
)
def test_broken_pickles_are_damaged_files(tmp_path, data):
    with pytest.raises(V2SError, match="x.pt: damaged or cut short"):
        read_checkpoint(write_zip(tmp_path / "x.pt", data))


def test_neither_pytorch_nor_jax_is_needed():
    code = (
        "import sys; from v2s_jax.interop.torch_file import read_checkpoint; from v2s_jax.interop.records import plain;"
        "sys.exit(bool({'torch', 'jax'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
