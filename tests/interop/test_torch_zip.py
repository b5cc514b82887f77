import zipfile

import numpy as np
import pytest

from tests.interop.pickled import STOP, literal, mention, storage, tensor, write_zip
from v2s_jax.errors import V2SError
from v2s_jax.interop.torch_file import read_checkpoint

SIX = np.arange(6, dtype=np.float32)


def refused(path):
    with pytest.raises(V2SError, match=f"^{path}: ") as error:
        read_checkpoint(path)
    return str(error.value)


@pytest.mark.parametrize("prefix", ["archive", "checkpoint_best", "a/b"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_any_folder_and_packing_is_read(tmp_path, prefix, method):
    path = write_zip(tmp_path / "x.pt", tensor(1, (2, 2), (3, 1)) + STOP, prefix=prefix, method=method)
    np.testing.assert_array_equal(read_checkpoint(path), [[1, 2], [4, 5]])


def test_a_folder_may_be_missing(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("data.pkl", storage() + STOP)
        archive.writestr("data/0", SIX.tobytes())
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "x.pt"), SIX)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        *(
            (1, (6,), (1,)),
            (6, (1,), (1,)),
            (0, (7,), (1,)),
            (0, (2, 3), (4, 1)),
            (0, (2,), (6,)),
            (1 << 62, (1,), (1,)),
        ),
        *((-1, (2,), (1,)), (5, (3,), (-1,)), (0, (-1, -6), (1, 1)), (0, (2,), (-1,)), (0, (2,), (1 << 62,))),
        *((0, (6,), (1, 1)), (0, (6,), ()), (0, (), (1,)), (0, [6], [1]), (0, (6.0,), (1,)), (0, (True,), (1,))),
        *((0.5, (1,), (1,)), ("0", (1,), (1,)), (None, (1,), (1,)), (0, (1,) * 33, (1,) * 33), (0, 6, 1)),
        *((0, (1 << 25,), (0,)), (0, (1 << 40, 1 << 40), (0, 0)), (0, (0, 1 << 47, 1 << 47), (1, 1, 1))),
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, offset, size, stride):
    message = refused(write_zip(tmp_path / "x.pt", tensor(offset, size, stride) + STOP))
    assert "fetch" in message and ("tensor" in message or "damaged or cut short" in message)


@pytest.mark.parametrize(
    "made", [b"]", b"N", mention("os", "system"), tensor(0, (2, 3), (3, 1)), literal(SIX.tobytes())]
)
def test_tensors_of_what_is_no_storage_are_refused(tmp_path, made):
    assert "of something that is no storage" in refused(
        write_zip(tmp_path / "x.pt", tensor(0, (1,), (1,), made) + STOP)
    )


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (literal("storage") + b"Q", "name data that are no storage"),
        (b")Q", "name data that are no storage"),
        (b"]Q", "name data that are no storage"),
        (literal(("storage",)) + b"Q", "name data that are no storage"),
        (literal(("module", 1, 2, 3, 4)) + b"Q", "name data that are no storage"),
        (literal((["storage"], 1, 2, 3, 4)) + b"Q", "name data that are no storage"),
        (storage()[:-2] + b"NtQ", "name data that are no storage"),
        (storage(key=0), "without key or length"),
        (storage(count=-1), "without key or length"),
        (storage(count=6.0), "without key or length"),
        (storage(count=7), "data/0 has 24 bytes instead of 28"),
        (storage(count=1 << 62), "data/0 has 24 bytes instead of"),
        (storage(key="1"), "its entry data/1 is missing"),
        (storage(key="../data.pkl\x1b[2J"), r"data/../data.pkl\x1b[2J is missing"),
        (storage(kind=mention("os", "FloatStorage")), "it stores numbers as os.FloatStorage"),
        (storage(kind=mention("torch", "QInt8Storage")), "it stores numbers as torch.QInt8Storage"),
        (storage(kind=literal("FloatStorage")), "it stores numbers as str"),
    ],
)
def test_storages_of_another_form_are_refused(tmp_path, saved, message):
    assert message.replace("name data", "names data") in refused(write_zip(tmp_path / "x.pt", saved + STOP))


def test_storages_elsewhere_than_in_the_object_are_refused(tmp_path):
    path = write_zip(tmp_path / "x.pt", storage() + STOP, {"0": SIX.tobytes()[:-1]})
    assert "has 23 bytes instead of 24" in refused(path)


def test_big_endian_files_are_refused(tmp_path):
    assert "big-endian" in refused(write_zip(tmp_path / "x.pt", storage() + STOP, byteorder=b"big"))
    assert len(read_checkpoint(write_zip(tmp_path / "x.pt", storage() + STOP, byteorder=b"little"))) == 6


def test_programs_are_refused(tmp_path):
    assert "a TorchScript program" in refused(write_zip(tmp_path / "x.pt", STOP, **{"constants.pkl": b"."}))
    assert "torch.jit.load" in refused(write_zip(tmp_path / "x.pt", STOP, **{"code/__torch__.py": b""}))


def test_two_pickles_or_none_are_refused(tmp_path):
    assert "none that torch.save wrote" in refused(write_zip(tmp_path / "x.pt", b"N.", **{"more/data.pkl": b"N."}))
    with zipfile.ZipFile(tmp_path / "x.pt", "w"):
        pass
    assert "none that torch.save wrote" in refused(tmp_path / "x.pt")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path):
    path = write_zip(tmp_path / "x.pt", storage() + STOP)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", SIX.tobytes())
    assert "two of its entries have one name" in refused(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    zeros = bytes(1 << 20)
    path = write_zip(tmp_path / "x.pt", storage(count=1 << 18) + STOP, {"0": zeros}, method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 3000
    assert "unpacks to more than 20 times its size" in refused(path)
    lying = path.read_bytes().replace((1 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(lying)
    assert "damaged or cut short" in refused(path)  # the unpacker stops at the declared length


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_packing_is_refused(tmp_path, method):
    assert "packed in a rare way" in refused(write_zip(tmp_path / "x.pt", storage() + STOP, method=method))


def test_encrypted_entries_are_refused(tmp_path):
    path = write_zip(tmp_path / "x.pt", b"N.")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    assert "it is encrypted" in refused(path)


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("v2s_jax.interop.torch_zip._MAX_ENTRIES", 10)
    storages = {str(index): bytes(8) for index in range(12)}
    assert "it has 13 entries, more than the 10" in refused(write_zip(tmp_path / "x.pt", b"N.", storages))


def test_a_huge_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("v2s_jax.interop.torch_zip.MAX_BYTES", 1000)
    assert "its pickle has 1002 bytes" in refused(write_zip(tmp_path / "x.pt", b"N0" * 500 + b"N."))


def changed(path, entry, at, value):
    """Writes `value` at byte `at` of an entry's line in the archive's directory."""
    data = bytearray(path.read_bytes())
    begin = data.rindex(b"PK\1\2", 0, data.rindex(entry))
    data[begin + at : begin + at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("at", "value"),
    [(42, b"\x05"), (42, b"\xff\xff\xff\x0f"), (20, b"\xff\xff\0\0"), (24, b"\xff\0\0\0"), (10, b"\x63\0")],
    ids=["shifted", "far", "packed length", "length", "method"],
)
@pytest.mark.parametrize("entry", [b"archive/data.pkl", b"archive/data/0"])
def test_a_directory_that_lies_is_refused(tmp_path, entry, at, value):
    """Where an entry begins, how long it is, and how it is packed."""
    message = refused(changed(write_zip(tmp_path / "x.pt", storage() + STOP), entry, at, value))
    assert "packed in a rare way" in message if value == b"\x63\0" else "fetch" in message
    path = write_zip(tmp_path / "x.pt", storage() + STOP)
    data = bytearray(path.read_bytes())
    data[data.index(b"archive/data/0") - 2] = 0xFF  # of the entry's own header: the length of what follows its name
    (tmp_path / "long.pt").write_bytes(data)
    assert "reaches beyond its end" in refused(tmp_path / "long.pt")
    whole = np.uint32(0x7FFFFFF0).tobytes()
    assert "unpacks to more" in refused(changed(changed(path, entry, 20, whole), entry, 24, whole))
