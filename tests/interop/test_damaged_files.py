import io
import itertools
import json
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from v2s_jax.errors import V2SError
from v2s_jax.interop.torch_file import read_checkpoint


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
