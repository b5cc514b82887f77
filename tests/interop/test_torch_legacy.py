import pickle

import numpy as np
import pytest

from tests.interop.pickled import STOP, literal, mention, storage, tensor
from v2s_jax.errors import V2SError
from v2s_jax.interop.torch_file import read_checkpoint

MAGIC = 0x1950A86A20F9469CFC6C
SIX = np.arange(6, dtype=np.float32)


def write(path, content, keys=("0",), numbers=None, magic=MAGIC, protocol=1001):
    """A legacy file around a pickle; its only storage holds 0 to 5."""
    parts = [pickle.dumps(value, 2) for value in (magic, protocol, {"little_endian": True})]
    parts += [content, pickle.dumps(list(keys) if isinstance(keys, tuple) else keys, 2)]
    stored = (6).to_bytes(8, "little") + SIX.tobytes() if numbers is None else numbers
    path.write_bytes(b"".join(parts) + stored)
    return path


def legacy_storage(view=None, **options):
    return storage(**options)[:-2] + literal(view) + b"tQ"


def refused(path):
    with pytest.raises(V2SError, match=f"^{path}: ") as error:
        read_checkpoint(path)
    return str(error.value)


def test_tensors_and_views_of_storages_are_read(tmp_path):
    whole = tensor(1, (2, 2), (3, 1), legacy_storage())
    part = tensor(0, (2,), (1,), legacy_storage(view=("7", 3, 2)))
    one, other = read_checkpoint(write(tmp_path / "x.pt", b"(" + whole + part + b"t."))
    np.testing.assert_array_equal(one, [[1, 2], [4, 5]])
    np.testing.assert_array_equal(other, [3, 4])
    assert np.shares_memory(one, other)


def test_storages_come_in_the_order_of_their_keys(tmp_path):
    content = b"(" + legacy_storage(key="a", count=1) + legacy_storage(key="b", count=2) + b"t."
    numbers = (2).to_bytes(8, "little") + SIX[:2].tobytes() + (1).to_bytes(8, "little") + SIX[5:].tobytes()
    a, b = read_checkpoint(write(tmp_path / "x.pt", content, ("b", "a"), numbers))
    assert (a.tolist(), b.tolist()) == ([5], [0, 1])


def test_classes_beside_their_source_code_are_mentions(tmp_path):
    """Whole models: the class, its file and its code, which is not looked at."""
    module = b"(" + literal("module") + mention("my.model", "Net") + literal("net.py") + literal("import os") + b"tQ"
    record = read_checkpoint(write(tmp_path / "x.pt", module + b")\x81.", (), b""))
    assert (record.module, record.name) == ("my.model", "Net")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"magic": MAGIC + 1}, "a pickle, but none that torch.save wrote"),
        ({"magic": {"model": 1}}, "a pickle, but none that torch.save wrote"),
        ({"protocol": 1002}, "of an unknown kind; expected protocol 1001"),
        ({"keys": ("1",)}, "its list of storages is not that of its tensors"),
        ({"keys": ("0", "0")}, "its list of storages is not that of its tensors"),
        ({"keys": ()}, "its list of storages is not that of its tensors"),
        ({"keys": {"0": 1}}, "its list of storages is none"),
        ({"keys": (("0",),)}, "its list of storages is none"),
        ({"numbers": b""}, "its storage 0 has not the length"),
        ({"numbers": (6).to_bytes(8, "little") + bytes(23)}, "its storage 0 has not the length"),
        ({"numbers": (5).to_bytes(8, "little") + bytes(24)}, "its storage 0 has not the length"),
        ({"numbers": b"\xff" * 8 + bytes(24)}, "its storage 0 has not the length"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, options, message):
    assert message in refused(write(tmp_path / "x.pt", legacy_storage() + STOP, **options))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (storage(), "its pickle names data that are no storage"),
        (literal("0") + b"Q", "its pickle names data that are no storage"),
        (literal(("module", "os", None, None)) + b"Q", "its pickle names data that are no storage"),
        (legacy_storage(count=1 << 40), "disagree about the length"),
        (b"(" + legacy_storage() + legacy_storage(count=5) + b"t", "disagree about the length"),
        (legacy_storage(view=("7", 5, 2)), "a view of a storage that reaches beyond it"),
        (legacy_storage(view=("7", -1, 2)), "a view of a storage without offset and length"),
        (legacy_storage(view=("7", 1)), "a view of a storage without offset and length"),
        (legacy_storage(view=3), "a view of a storage without offset and length"),
        (tensor(0, (7,), (1,), legacy_storage()), "reaches beyond its 6 stored numbers"),
    ],
)
def test_storages_of_another_form_are_refused(tmp_path, content, message):
    assert message in refused(write(tmp_path / "x.pt", content + STOP))


@pytest.mark.parametrize("place", ["magic", "protocol", "system", "keys"])
def test_every_pickle_of_the_file_is_read_with_the_same_care(tmp_path, place):
    """Not only the object: a hostile call may hide in what lies around it."""
    hostile = mention("os", "mkdir") + literal((str(tmp_path / "canary"),)) + b"R."
    parts = {"magic": MAGIC, "protocol": 1001, "system": {}, "object": 1, "keys": []}
    data = b"".join(hostile if name == place else pickle.dumps(value, 2) for name, value in parts.items())
    (tmp_path / "x.pt").write_bytes(b"\x80\x02" + data if place == "magic" else data)
    assert "it asks to call os.mkdir" in refused(tmp_path / "x.pt")
    assert not (tmp_path / "canary").exists()
