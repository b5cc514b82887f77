import struct
import sys

import numpy as np
import pytest
import torch

from tests.interop.pickled import STOP, call, literal, mention, read, storage, tensor, text, write_zip
from v2s_jax.errors import V2SError
from v2s_jax.interop import pickles
from v2s_jax.interop.pickles import Part, load
from v2s_jax.interop.records import Record, Refused, plain
from v2s_jax.interop.torch_file import read_checkpoint


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


@pytest.mark.parametrize("make", [int, float, lambda x: (1, -x)], ids=["int", "float", "tuple"])
def test_numbers_of_one_hash_are_no_keys(make):
    """A dict of a hundred thousand of them would take minutes."""
    modulus = sys.hash_info.modulus
    assert hash(modulus) == hash(2 * modulus) == hash(0)
    assert read(literal({modulus - 1: 1, 0.5: 2}) + STOP) == {modulus - 1: 1, 0.5: 2}
    for data in (literal({make(2 * modulus): 1}), call("builtins", "set", [make(2 * modulus)])):
        with pytest.raises(Refused, match="number of more than eighteen digits as a key"):
            read(data + STOP)


def test_nor_do_they_become_keys_of_a_config():
    """As members of an enum, which `plain` turns into numbers."""
    member = mention("a.b", "Kind") + literal((sys.hash_info.modulus,)) + b"R"
    (key,) = plain(read(b"}" + member + b"K\x01s."), "x.pt")
    assert isinstance(key, Record)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_repeated_numbers_are_bounded_all_together(tmp_path, zipped):
    """A file of a few kilobytes whose tensors would be gigabytes where they are copied."""
    mebi = [torch.zeros(1).expand(1 << 20) for _ in range(17)]
    torch.save(mebi[:16], tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert len(read_checkpoint(tmp_path / "x.pt")) == 16
    torch.save(mebi, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(V2SError, match="x.pt: its tensors repeat more numbers than it holds"):
        read_checkpoint(tmp_path / "x.pt")


def test_a_large_file_may_repeat_as_many_as_it_has_bytes():
    data = b"](" + b"".join(tensor(0, (1 << 20,), (0,), storage(count=1)) for _ in range(17)) + b"e."
    assert len(load(Part(data), lambda saved: np.zeros(1, np.float32), 17 << 20)) == 17
    with pytest.raises(Refused, match="repeat more"):
        load(Part(data), lambda saved: np.zeros(1, np.float32), 16 << 20)
