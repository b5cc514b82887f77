import copyreg
import io
import os
import pickle
import struct
import subprocess
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interop.pickled import STOP, call, literal, mention, storage, tensor, text, write_zip
from v2s_jax.errors import V2SError
from v2s_jax.interop import pickles
from v2s_jax.interop.pickles import Part, load
from v2s_jax.interop.records import Global, Record, Refused
from v2s_jax.interop.torch_file import read_checkpoint

PLAIN = [
    [None, True, False, 0, -1, 255, 70000, -(2**40), 2**200, 1.5, float("inf"), "text", "\N{SNOWMAN}", b"", b"\0\xff"],
    {"a": [1, 2], 3: (4, (5,)), None: {}, (1, "x"): set(), b"k": frozenset({1, 2}), 2.5: {"y", "z"}},
    [bytearray(b"abc"), 1 + 2j, range(1, 9, 2), slice(1, None, 2), "x" * 300, list(range(300)), (1, 2), (1, 2, 3, 4)],
]


def read(data, **arrays):
    return load(Part(data), lambda saved: arrays[saved[2]])


def frames(name, *args):
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


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)), np.array(["a", "bc"])]
    + [np.zeros((0, 3), np.float32), np.array(5, np.uint8), np.arange(4).astype(bool), np.array([1 + 2j])],
    ids=lambda value: f"{value.dtype}{value.shape}",
)
def test_numpy_arrays_are_read_in_every_protocol(protocol, value):
    first, second = read(pickle.dumps([value, value], protocol))
    assert first is second  # also where the memo had it before its content came
    assert first.dtype == value.dtype
    np.testing.assert_array_equal(first, value)


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_scalars_are_read_as_numbers(protocol):
    values = [np.float32(1.5), np.int64(-3), np.bool_(True), np.dtype("<f4"), np.dtype(">i8"), np.float64(2.5)]
    assert read(pickle.dumps(values, protocol)) == [1.5, -3, True, np.dtype("<f4"), np.dtype(">i8"), 2.5]


def test_what_pytorch_keeps_beside_tensors_is_plain():
    tree = [
        torch.Size([2, 3]),
        torch.device("cuda", 1),
        torch.device("cpu"),
        torch.float16,
        torch.bfloat16,
        torch.int64,
    ]
    shape, *devices, half, brain, whole = read(pickle.dumps(tree, 2))
    assert shape == (2, 3) and devices == ["cuda:1", "cpu"]
    assert half == np.float16 and brain.name == "bfloat16" and whole == np.int64


def test_dicts_of_the_standard_library_become_dicts():
    from collections import Counter, defaultdict

    source = OrderedDict(a=1)
    source._metadata = {"version": 1}  # a state dict's, dropped
    assert read(pickle.dumps([source, defaultdict(list, b=[2]), Counter("cc")], 2)) == [{"a": 1}, {"b": [2]}, {"c": 2}]


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


def test_parts_of_a_whole_model_become_records_but_are_not_called():
    assert read(mention("torch.nn.modules.linear", "Linear") + b")\x81.").name == "Linear"
    with pytest.raises(Refused, match="torch.nn.modules.linear.Linear"):
        read(mention("torch.nn.modules.linear", "Linear") + b")R.")


def test_the_class_of_none_is_a_mention():
    assert read(pickle.dumps(type(None), 2)) == Global("types", "NoneType")


def test_a_mention_is_no_call():
    assert read(b"]" + mention("os", "system") + b"a.") == [Global("os", "system")]


FUNCTIONS = """
    os.system posix.system nt.system os.popen os.execv subprocess.Popen subprocess.run builtins.eval builtins.exec
    builtins.getattr builtins.__import__ builtins.open builtins.compile builtins.map builtins.object __builtin__.eval
    torch.load torch.storage._load_from_bytes torch.hub.load torch.jit.load torch.package.PackageImporter numpy.memmap
    numpy.load numpy.testing._private.utils.runstring runpy.run_path importlib.import_module pip.main pickle.loads
    operator.attrgetter functools.partial functools.reduce shutil.rmtree _pickle.loads codecs.decode ctypes.CDLL
    fairseq.checkpoint_utils.load_model __main__.run some.lib.Class.method copyreg.add_extension typing.cast
    multiprocessing.util.Finalize logging.FileHandler argparse.FileType asyncio.create_subprocess_shell types.CodeType
    types.FunctionType collections.namedtuple pathlib.Path.write_text setuptools.Distribution socket.socket
    torch._utils._rebuild_qtensor torch._utils._rebuild_sparse_tensor
""".split()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_calls_beyond_the_list_are_refused_by_name(name):
    for data in frames(name, "x").values():
        with pytest.raises(
            Refused, match=rf"^it asks to call {name.replace('__builtin__', 'builtins')}, which .* nothing was run"
        ):
            read(data + STOP)


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "builtins.eval", "functools.partial"])
def test_nor_are_they_made(name):
    """An object made without a call; through opcodes and through `copyreg`."""
    module, name = name.rsplit(".", 1)
    for data in (
        mention(module, name) + b")\x81.",
        b"\x80\x04" + mention(module, name) + b")}\x92.",
        mention("copyreg", "__newobj__") + b"(" + mention(module, name) + b"tR.",
        mention("copyreg", "_reconstructor") + b"(" + mention(module, name) + mention("builtins", "object") + b"NtR.",
    ):
        with pytest.raises(Refused, match=f"{module}.{name}"):
            read(data)


class Touch:
    """Pickled, it is a call that makes a file."""

    def __init__(self, path, function=os.mkdir):
        self.call = function, (path,)

    def __reduce__(self):
        return self.call


def reduced(path, protocol):
    return pickle.dumps({"model": [Touch(path)]}, protocol)


def by_inst(path):
    return frames("os.mkdir", path)["INST"] + STOP


def by_obj(path):
    return frames("os.mkdir", path)["OBJ"] + STOP


def by_extension(path):
    return b"\x80\x02\x83" + struct.pack("<H", 0xF0F0) + literal((path,)) + b"R."


def by_eval(path):
    return call("builtins", "eval", f"__import__('os').mkdir({path!r})") + STOP


def by_getattr(path):
    """getattr(__import__("os"), "mkdir")(path), whose last call has no name to judge by."""
    return (
        mention("builtins", "getattr") + b"(" + call("builtins", "__import__", "os") + text("mkdir") + b"tR"
        + literal((path,)) + b"R."
    )  # fmt: skip


def by_getattr_of_a_class(path):
    made = mention("builtins", "getattr") + b"(" + mention("pathlib", "Path") + text("mkdir") + b"tR"
    return made + b"(" + mention("pathlib", "Path") + literal((path,)) + b"RtR."


def by_state(path):
    """Gives an object a `__setstate__` of its own, and then a state."""
    return (
        mention("argparse", "Namespace") + b")\x81}" + text("__setstate__") + mention("os", "mkdir") + b"sb"
        + text(path) + b"b."
    )  # fmt: skip


def by_popen(path):
    return call("subprocess", "check_call", ["mkdir", path]) + STOP


def by_map(path):
    return (
        mention("builtins", "list")
        + b"("
        + mention("builtins", "map")
        + b"("
        + mention("os", "mkdir")
        + (literal([path]) + b"tRtR.")
    )


def by_nested_file(path):
    """A PyTorch file inside the pickle, as pickled tensors have it."""
    file = io.BytesIO()
    torch.save(Touch(path), file, _use_new_zipfile_serialization=False)
    return call("torch.storage", "_load_from_bytes", file.getvalue()) + STOP


def by_nested_pickle(path):
    return call("pickle", "loads", reduced(path, 2)) + STOP


def by_persistent_id(path):
    return frames("os.mkdir", path)["REDUCE"] + b"Q."


def by_tensor_function(path):
    """The function that rebuilds subclasses of tensor is given another to call."""
    return (
        mention("torch._tensor", "_rebuild_from_type_v2") + b"(" + mention("os", "mkdir") + mention("torch", "Tensor")
        + literal((path,)) + b"NtR."
    )  # fmt: skip


HOSTILE = [lambda path, protocol=protocol: reduced(path, protocol) for protocol in range(6)] + [
    *(by_inst, by_obj, by_extension, by_eval, by_getattr, by_getattr_of_a_class, by_state, by_popen, by_map),
    *(by_nested_file, by_nested_pickle, by_persistent_id, by_tensor_function),
]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_in_a_hostile_file_runs(tmp_path, hostile, legacy):
    """The canary is a folder. First the standard library shows that the pickle would make it."""
    canary = tmp_path / "canary"
    data = hostile(str(canary))
    copyreg.add_extension("os", "mkdir", 0xF0F0)
    try:
        if hostile is not by_persistent_id:
            unpickler = pickle.Unpickler(io.BytesIO(data))
            try:
                unpickler.load()
            except (TypeError, AttributeError):  # what the call gave was of no use
                pass
            assert canary.is_dir(), "no hostile pickle"
            canary.rmdir()
        path = legacy_file(tmp_path / "x.pt", data) if legacy else write_zip(tmp_path / "x.pt", data)
        if hostile is by_state:
            assert read_checkpoint(path).state == str(canary)  # only noted
        else:
            with pytest.raises(V2SError, match="x.pt: "):
                read_checkpoint(path)
    finally:
        copyreg.remove_extension("os", "mkdir", 0xF0F0)
    assert not canary.exists()


def legacy_file(path: Path, data: bytes) -> Path:
    """A legacy PyTorch file with one pickle put in the place of its object."""
    file = io.BytesIO()
    torch.save("object", file, _use_new_zipfile_serialization=False)
    path.write_bytes(file.getvalue().replace(pickle.dumps("object", 2), data))
    assert data in path.read_bytes()
    return path


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


@pytest.mark.parametrize(
    "data",
    [
        b"\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
        b"\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x96" + struct.pack("<Q", 1 << 40) + b"x.",
        b"B\xff\xff\xff\xffx.",
        b"X\xff\xff\xff\xffx.",
        b"T\xff\xff\xff\x7fx.",
        b"\x8b\xff\xff\xff\x7fx.",
        b"\x8b\xff\xff\xff\xffx.",
    ],
)
def test_a_declared_length_costs_nothing(tmp_path, data):
    with pytest.raises(V2SError, match="x.pt: damaged or cut short"):
        read_checkpoint(write_zip(tmp_path / "x.pt", data))


def test_a_far_index_of_the_memo_costs_nothing():
    """The standard library's own unpickler takes 64 GB for this one."""
    assert read(b"K\x07r\xff\xff\xff\xff0j\xff\xff\xff\xff.") == 7


def doubled(levels, begin=b"]K\x01a", pair=b"]q\x01h\x00ah\x00aq\x00"):
    return begin + b"q\x00" + (b"0" + pair) * levels + STOP


def test_billions_of_parts_by_mention_are_refused():
    assert len(read(doubled(10))) == 2
    with pytest.raises(Refused, match="count more than 20000000 parts"):
        read(doubled(40))


@pytest.mark.parametrize("deeper", [b"\x85", b"q\x00]h\x00a", b"q\x00}K\x01h\x00s"], ids=["tuple", "list", "dict"])
def test_deep_nesting_is_refused(deeper):
    read(b"N" + deeper * 90 + STOP)
    for depth in (101, 3000):
        with pytest.raises(Refused, match="nested deeper than 100"):
            read(b"N" + deeper * depth + STOP)


def test_what_contains_itself_is_refused_but_for_records():
    for data in (b"]q\x00h\x00a.", b"}q\x00K\x01h\x00s.", b"]q\x00h\x00\x85a."):
        with pytest.raises(Refused, match="contain themselves"):
            read(data)
    record = read(mention("a", "B") + b")\x81q\x00}" + text("parent") + b"h\x00sb.")
    assert record.state["parent"] is record


def test_what_a_record_holds_is_checked_too():
    with pytest.raises(Refused, match="contain themselves"):
        read(mention("a", "B") + b")\x81" + b"]q\x00h\x00ab.")


def test_hashing_a_nested_tuple_is_not_tried():
    """2 ** 60 numbers to hash."""
    with pytest.raises(Refused, match="uses a tuple as a key"):
        read(b"K\x01\x85q\x00" + b"0h\x00h\x00\x86q\x00" * 60 + b"0}h\x00K\x01s.")


def test_copies_of_one_string_are_bounded(monkeypatch):
    """Every call may copy what it is given, and three bytes of a pickle mention a megabyte again."""
    monkeypatch.setattr(pickles, "MAX_BUILT", 1 << 16)
    call_again = mention("_codecs", "encode") + b"(h\x00" + text("latin1") + b"tR0"
    data = text("x" * 1000) + b"q\x00" + call_again * 60 + STOP
    assert read(data) == "x" * 1000
    with pytest.raises(Refused, match="build more than 65536"):
        read(text("x" * 1000) + b"q\x00" + call_again * 70 + STOP)


def test_steps_and_bytes_are_bounded(monkeypatch, tmp_path):
    monkeypatch.setattr(pickles, "MAX_STEPS", 50)
    assert read(b"N0" * 20 + b"N.") is None
    with pytest.raises(Refused, match="more than 50 steps"):
        read(b"N0" * 30 + b"N.")
    monkeypatch.setattr(pickles, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="expected 2000 bytes"):
        read(text("x" * 2000) + STOP)


FLOAT = literal(np.dtype("f4"))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (literal((1, (2,))) + b"b", "unknown form"),
        (literal((1, (2,), None, False, b"")) + b"b", "without a type"),
        (literal((1, (2,), "f4", False, b"12345678")) + b"b", "without a type"),
        (b"(K\x01" + literal((3,)) + FLOAT + b"\x89" + literal(b"1234") + b"tb", "in 4 bytes"),
        (b"(K\x01" + literal((-1, -1)) + FLOAT + b"\x89" + literal(b"1234") + b"tb", "impossible"),
        (b"", "half-made Pending"),
        (b"0" + mention("numpy", "dtype") + literal(("f4", False, True)) + b"R(K\x03K\x00tb", "where bytes belong"),
        (b"0" + mention("numpy", "dtype") + literal(("f4", False, True)) + b"R(K\x03tb", "without a byte order"),
        (b"0" + call("numpy.core.multiarray", "_reconstruct", np.matrix, (0,), b"b"), "of an unknown class"),
    ],
)  # fmt: skip
def test_odd_numpy_arrays_are_refused(state, message):
    begin = (
        mention("numpy.core.multiarray", "_reconstruct")
        + b"("
        + mention("numpy", "ndarray")
        + literal((0,))
        + b"C\1btR"
    )
    with pytest.raises(Refused, match=message):
        read(begin + state + STOP)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_objects_are_refused(protocol, tmp_path):
    data = pickle.dumps(np.array([Touch(str(tmp_path / "canary"))], object), protocol)
    with pytest.raises(Refused, match="numpy array of type O8|asks to call posix.mkdir"):
        read(data)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("code", ["O", "O8", "V8", "S99999999", "i3", "f16", "M8", "f4,O", "object", ""])
def test_other_types_of_numpy_are_refused(code):
    with pytest.raises(Refused, match="only numbers and short strings"):
        read(call("numpy", "dtype", code, False, True) + STOP)


NAMES = """
    os.mkdir a.B builtins.set numpy.dtype numpy.ndarray torch.Size torch._utils._rebuild_tensor_v2 torch.float32
    _codecs.encode numpy._core.multiarray._reconstruct copyreg._reconstructor
""".split()
TOKENS = [
    *(b"(", b"0", b"1", b"2", b"N", b"]", b"}", b")", b"\x8f", b"t", b"\x85", b"\x86", b"\x87", b"l", b"d", b"\x91"),
    *(b"a", b"e", b"s", b"u", b"\x90", b"R", b"\x81", b"\x92", b"o", b"b", b"Q", b"\x93", b"\x94", b"\x88"),
    *(b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"K\x00", b"K\x07", text("a"), text("latin1"), b"C\x02ab", literal((0,))),
    *(mention(*name.rsplit(".", 1)) for name in NAMES),
    *(storage(), tensor(0, (2, 3), (3, 1)), literal((2, 3)), literal(["ab"]), literal(b"12345678"), b"iA\nB\n"),
]  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=25))
def test_any_sequence_of_opcodes_is_read_or_refused(tmp_path, monkeypatch, tokens):
    monkeypatch.chdir(tmp_path)  # where a folder that `os.mkdir` made would be seen
    try:
        read_checkpoint(write_zip(tmp_path / "x.pt", b"".join(tokens) + STOP))
    except V2SError as error:
        assert str(error).startswith(f"{tmp_path / 'x.pt'}: ")
    assert os.listdir(tmp_path) == ["x.pt"]


def test_neither_pytorch_nor_jax_is_needed():
    code = (
        "import sys; from v2s_jax.interop.torch_file import read_checkpoint; from v2s_jax.interop.records import plain;"
        "sys.exit(bool({'torch', 'jax'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_records_of_settings_are_kept():
    values = [types.SimpleNamespace(a=1), Path("x/y")]
    space, path = read(pickle.dumps(values, 2))
    assert isinstance(space, Record) and space.state == {"a": 1}
    assert "/".join(path.args) == "x/y"
