import copyreg
import io
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interop.pickled import STOP, Touch, call, frames, literal, mention, read, storage, tensor, text, write_zip
from v2s_jax.errors import V2SError
from v2s_jax.interop.records import Refused
from v2s_jax.interop.torch_file import read_checkpoint

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
