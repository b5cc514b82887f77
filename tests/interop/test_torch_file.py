import io
import itertools
import json
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from safetensors.torch import save_file

from v2s_jax.errors import V2SError
from v2s_jax.interop.records import plain
from v2s_jax.interop.torch_file import read_checkpoint

GOLDENS = Path(__file__).parent / "goldens"
TYPES = "float64 float32 float16 bfloat16 complex64 complex128 int64 int32 int16 int8 uint8 bool".split()
NEW_TYPES = "uint16 uint32 uint64 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz".split()
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def written(path: Path, value, zipped=True, **options) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def assert_same(ours, theirs):
    """Also in type, bit for bit."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, np.ndarray) and ours.shape == tuple(theirs.shape)
        assert str(theirs.dtype) == f"torch.{ours.dtype}"
        octets = theirs.detach().contiguous().reshape(-1).view(torch.uint8)
        assert ours.tobytes() == octets.numpy().tobytes()
    elif isinstance(theirs, dict):
        assert type(ours) is dict and list(ours) == list(theirs)
        for name in theirs:
            assert_same(ours[name], theirs[name])
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    else:
        assert type(ours) is type(theirs) and ours == theirs


def numbers(name, count=24):
    raw = np.random.default_rng(0).integers(0, 2 if name == "bool" else 100, count)
    return torch.tensor(raw).to(getattr(torch, name))


@FORMATS
@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_read(tmp_path, name, zipped):
    whole = numbers(name)
    tree = {
        "vector": whole,
        "matrix": whole.reshape(4, 6),
        "scalar": whole[3].clone(),
        "empty": whole[:0].reshape(0, 3),
    }
    assert_same(read_checkpoint(written(tmp_path / "x.pt", tree, zipped)), tree)


@pytest.mark.parametrize("name", NEW_TYPES)
def test_types_without_a_storage_class_are_read(tmp_path, name):
    tree = [numbers(name), numbers(name)[5:9]]
    assert_same(read_checkpoint(written(tmp_path / "x.pt", tree)), tree)


@FORMATS
def test_views_are_read(tmp_path, zipped):
    whole = torch.arange(60.0).reshape(3, 4, 5)
    tree = [whole, whole.mT, whole[1], whole[:, 1:3, ::2], whole.permute(2, 0, 1), whole.diagonal(), whole[2, 3, 4]]
    tree += [torch.arange(7.0)[3:4].expand(5, 2), whole.as_strided((3, 3), (1, 1), 2)]
    ours = read_checkpoint(written(tmp_path / "x.pt", tree, zipped))
    assert_same(ours, tree)
    assert np.shares_memory(ours[0], ours[3])  # a storage is there once


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_read(tmp_path, protocol, zipped):
    tree = {"model": OrderedDict(a=torch.ones(2)), "epoch": 3, "bytes": b"\0\xff", "arrays": np.arange(3)}
    ours = read_checkpoint(written(tmp_path / "x.pt", tree, zipped, pickle_protocol=protocol))
    np.testing.assert_array_equal(ours.pop("arrays"), tree.pop("arrays"))
    assert ours["bytes"] == tree["bytes"] and ours["epoch"] == 3
    assert_same(ours["model"], dict(tree["model"]))


@FORMATS
def test_parameters_and_state_dicts_are_read(tmp_path, zipped):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    model(torch.randn(5, 3)).sum().backward()
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.step()
    tagged = torch.nn.Parameter(torch.ones(2))
    tagged.note = "kept by PyTorch"
    tree = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "p": list(model.parameters()),
        "t": tagged,
    }
    assert_same(read_checkpoint(written(tmp_path / "x.pt", tree, zipped)), tree)


@FORMATS
def test_a_whole_model_becomes_records_with_its_weights(tmp_path, zipped):
    record = read_checkpoint(written(tmp_path / "x.pt", torch.nn.Linear(3, 4), zipped))
    assert (record.module, record.name) == ("torch.nn.modules.linear", "Linear")
    assert record.state["_parameters"]["weight"].shape == (4, 3)


@FORMATS
def test_tensors_with_attributes_are_read(tmp_path, zipped):
    value = torch.arange(3.0)
    value.note = "x"
    assert_same(read_checkpoint(written(tmp_path / "x.pt", value, zipped)), torch.arange(3.0))


@FORMATS
@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_storages_are_read(tmp_path, zipped):
    path = written(tmp_path / "x.pt", torch.arange(3, dtype=torch.int16).storage(), zipped)
    assert_same(read_checkpoint(path), torch.arange(3, dtype=torch.int16))


def test_untyped_storages_are_read(tmp_path):
    path = written(tmp_path / "x.pt", torch.arange(3, dtype=torch.int16).untyped_storage())
    assert_same(read_checkpoint(path), torch.tensor([0, 0, 1, 0, 2, 0], dtype=torch.uint8))


@FORMATS
def test_storages_of_another_device_are_read(tmp_path, zipped):
    """Saved from a GPU: the same file but for the device's name."""
    path = written(tmp_path / "x.pt", {"w": torch.ones(3)}, zipped)
    data = path.read_bytes()
    at = data.index(b"X\3\0\0\0cpu")
    path.write_bytes(data.replace(b"X\3\0\0\0cpu", b"X\3\0\0\0xla"))
    assert path.read_bytes()[at:].startswith(b"X\3\0\0\0xla")
    assert_same(read_checkpoint(path), {"w": torch.ones(3)})


@FORMATS
def test_arrays_are_views_of_the_file_that_cannot_be_written(tmp_path, zipped):
    array = read_checkpoint(written(tmp_path / "x.pt", {"w": torch.ones(1 << 16)}, zipped))["w"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 2
    while isinstance(array.base, np.ndarray):
        array = array.base
    assert type(getattr(array.base, "obj", array.base)).__name__ == "mmap"


@FORMATS
@pytest.mark.parametrize(
    "make",
    [lambda: torch.ones(2, dtype=torch.complex64).conj(), lambda: torch.eye(2).to_sparse()]
    + [lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), lambda: torch.ones(2, device="meta")],
    ids=["conjugated", "sparse", "quantised", "meta"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_tensors_of_other_kinds_are_refused_with_a_sentence(tmp_path, make, zipped):
    with pytest.raises(V2SError, match="x.pt: it (holds|asks|stores) .* (save again|saved alone)"):
        read_checkpoint(written(tmp_path / "x.pt", [make()], zipped))


@pytest.mark.parametrize("name", ["hifigan_tiny/hifigan_tiny.pt", "hubert_tiny/pytorch_model.bin"])
def test_checkpoints_read_as_pytorch_reads_them(name):
    assert_same(read_checkpoint(GOLDENS / name), torch.load(GOLDENS / name))


@pytest.mark.parametrize("name", ["avhubert_micro", "avhubert_micro_seq2seq_fp16"])
def test_a_checkpoint_of_fairseq_reads_without_fairseq(name):
    tree = read_checkpoint(GOLDENS / name / "checkpoint.pt")
    (dictionary,) = tree["task_state"]["dictionaries"]
    assert (dictionary.module, dictionary.name) == ("fairseq.data.dictionary", "Dictionary")
    assert dictionary.state["symbols"][:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert plain(tree["cfg"], name)["task"]["image_crop_size"] == 88
    kinds = {array.dtype.name for array in tree["model"].values()}
    assert kinds == ({"float16", "int64", "float32"} if "fp16" in name else {"float32", "int64"})


def test_both_files_of_one_model_hold_the_same():
    one = read_checkpoint(GOLDENS / "hubert_tiny/pytorch_model.bin")
    other = read_checkpoint(GOLDENS / "hubert_tiny/model.safetensors")
    assert one.keys() >= other.keys() and len(other) > 60
    for name, array in other.items():
        np.testing.assert_array_equal(array, one[name])


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "int64", "int8", "uint16", "bool"])
def test_safetensors_are_read(tmp_path, name):
    tree = {"a": numbers(name).reshape(4, 6), "b": numbers(name)[0].clone(), "c": numbers(name)[:0].clone()}
    save_file(tree, tmp_path / "x.safetensors", {"format": "pt"})
    ours = read_checkpoint(tmp_path / "x.safetensors")
    assert_same({key: ours[key] for key in tree}, tree)
    assert not ours["a"].flags.writeable


def safetensors(header, body=b"\0" * 16, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def entry(begin, end, dtype="F32", shape=(2,)):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "data",
    [
        safetensors({"a": entry(0, 8), "b": entry(4, 12), "c": entry(12, 16, shape=(1,))}),
        safetensors({"a": entry(0, 8), "b": entry(0, 8)}),
        safetensors({"a": entry(0, 8)}),
        safetensors({"a": entry(0, 32, shape=(8,))}),
        safetensors({"a": entry(8, 0)}),
        safetensors({"a": entry(-8, 8)}),
        safetensors({"a": entry(0, 16)}),
        safetensors({"a": entry(0, 16, shape=(1 << 62, 1 << 62))}),
        safetensors({"a": entry(0, 16, dtype="F99")}),
        safetensors({"a": 3}),
        safetensors(b"{" + b"[" * 100_000),
        safetensors(b'{"a"'),
        safetensors({}, length=1 << 20),
        safetensors({}, length=100_000_001),
        safetensors({}, length=(1 << 64) - 1),
        b"\1",
    ],
)
def test_damaged_safetensors_are_refused(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(V2SError, match="x.safetensors: damaged or cut short .* fetch the file again"):
        read_checkpoint(path)


def test_safetensors_of_odd_types_are_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(safetensors({"a": entry(0, 16, "F8_E8M0", (16,))}))
    with pytest.raises(V2SError, match="numbers as F8_E8M0"):
        read_checkpoint(tmp_path / "x.safetensors")


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))
    return file.getvalue()


def zipped_array():
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty; fetch the file again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "a git-lfs pointer .* fetch the real file",
        ),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\n  <html>", "a web page"),
        (b'{"weight_map": {}}', "it is JSON"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 9, "an HDF5 file"),
        (b"\x93NUMPY\1\0", "a NumPy array"),
        (b"\x1f\x8b\x08\0", "packed with gzip"),
        (tar(), "a tar archive, as PyTorch wrote before 2018"),
        (zipped_array(), "a zip archive, but none that torch.save wrote"),
        (pickle.dumps({"a": 1}), "a pickle, but none that torch.save wrote"),
        (b"\x87\xa5model\x00", "no weights file; expected one of PyTorch"),
        (b"x", "no weights file"),
        (bytes(100), "no weights file"),
    ],
)
@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_other_files_are_told_apart(tmp_path, data, message, name):
    path = tmp_path / name
    path.write_bytes(data)
    if name == "x.safetensors" and message.startswith("no weights"):
        message = "damaged or cut short"
    with pytest.raises(V2SError, match=f"^{path}: .*{message}"):
        read_checkpoint(path)


def test_folders_missing_files_and_pipes_are_told(tmp_path):
    with pytest.raises(V2SError, match="it is a folder; name the weights file in it"):
        read_checkpoint(tmp_path)
    with pytest.raises(V2SError, match=r"x.pt: cannot be read \(No such file or directory\); check the path"):
        read_checkpoint(tmp_path / "x.pt")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(V2SError, match="pipe: it is no file"):
        read_checkpoint(tmp_path / "pipe")
    with pytest.raises(V2SError, match="damaged or cut short"):
        read_checkpoint("x\0.pt")


def sample(kind: str) -> bytes:
    """A small valid file of every format, with tensors, a record and a numpy array."""
    tree = {"model": {"a": torch.arange(6.0), "b": torch.arange(6.0).reshape(2, 3).T}, "n": np.arange(3), "s": {1, 2}}
    file = io.BytesIO()
    if kind == "safetensors":
        return save({"a": np.arange(6.0), "b": np.ones((2, 3), np.float16)})
    torch.save(tree, file, _use_new_zipfile_serialization=kind != "legacy")
    if kind != "packed":
        return file.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return packed.getvalue()


SAMPLES = {kind: sample(kind) for kind in ("zip", "packed", "legacy", "safetensors")}


def touched(tree):
    """Reads every number, wherever it may lie."""
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ():
        touched(part)
    if isinstance(tree, np.ndarray):
        tree.tobytes()


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_samples_are_valid(tmp_path, kind):
    (tmp_path / "x").write_bytes(SAMPLES[kind])
    tree = read_checkpoint(tmp_path / "x")
    np.testing.assert_array_equal(tree.get("model", tree)["a"], np.arange(6.0))


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_cut_anywhere_is_refused(tmp_path, kind):
    data = SAMPLES[kind]
    cuts = itertools.chain(range(0, len(data), 37), range(len(data) - 20, len(data)))
    for length in cuts:
        (tmp_path / "x").write_bytes(data[:length])
        with pytest.raises(V2SError, match=f"^{tmp_path / 'x'}: "):
            read_checkpoint(tmp_path / "x")


@pytest.mark.parametrize("kind", SAMPLES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_file_is_read_or_refused(tmp_path, kind, data):
    content = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        change = data.draw(st.sampled_from(["set", "insert", "remove", "copy"]))
        new = data.draw(st.binary(min_size=1, max_size=8))
        if change == "copy":
            begin = data.draw(st.integers(0, len(content) - 1))
            new = bytes(content[begin : begin + 8])
        content[at : at + (0 if change == "insert" else len(new))] = b"" if change == "remove" else new
    (tmp_path / "x").write_bytes(content)
    try:
        touched(read_checkpoint(tmp_path / "x"))
    except V2SError as error:
        assert str(error).startswith(f"{tmp_path / 'x'}: ") and "\n" not in str(error)


def test_bfloat16_is_the_type_that_jax_uses(tmp_path):
    path = written(tmp_path / "x.pt", torch.tensor([1.5], dtype=torch.bfloat16))
    assert read_checkpoint(path).dtype == ml_dtypes.bfloat16
