import struct

import pytest

from tests.interop.pickled import STOP, mention, read, text, write_zip
from v2s_jax.errors import V2SError
from v2s_jax.interop import pickles
from v2s_jax.interop.records import Refused
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
