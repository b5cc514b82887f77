import json
import struct
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
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
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(4, 3)}}
    optimizer = {"state": moments, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}]}
    tagged = torch.nn.Parameter(torch.ones(2))
    tagged.note = "kept by PyTorch"
    tree = {
        "model": model.state_dict(),
        "optimizer": optimizer,
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


@pytest.mark.parametrize("length", [0x80, 0x180, 0x4B50], ids=["pickle", "longer", "zip"])
def test_safetensors_whose_length_begins_as_other_files_do_are_read(tmp_path, length):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).ljust(length)
    data = struct.pack("<Q", length) + header.encode() + struct.pack("<ff", 1, 2)
    assert data[:1] == b"\x80" or data[:2] == b"PK"
    (tmp_path / "x.safetensors").write_bytes(data)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "x.safetensors")["a"], [1, 2])


def test_bfloat16_is_the_type_that_jax_uses(tmp_path):
    path = written(tmp_path / "x.pt", torch.tensor([1.5], dtype=torch.bfloat16))
    assert read_checkpoint(path).dtype == ml_dtypes.bfloat16
