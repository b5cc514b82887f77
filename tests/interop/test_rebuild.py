import pickle
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.interop.pickled import STOP, Touch, call, literal, mention, read
from v2s_jax.interop.records import Global, Record, Refused


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


def test_parts_of_a_whole_model_become_records_but_are_not_called():
    assert read(mention("torch.nn.modules.linear", "Linear") + b")\x81.").name == "Linear"
    with pytest.raises(Refused, match="torch.nn.modules.linear.Linear"):
        read(mention("torch.nn.modules.linear", "Linear") + b")R.")


def test_the_class_of_none_is_a_mention():
    assert read(pickle.dumps(type(None), 2)) == Global("types", "NoneType")


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


def test_records_of_settings_are_kept():
    values = [types.SimpleNamespace(a=1), Path("x/y")]
    space, path = read(pickle.dumps(values, 2))
    assert isinstance(space, Record) and space.state == {"a": 1}
    assert "/".join(path.args) == "x/y"
