from tests.training.disk import full_disk
from v2s_jax.training import appender
from v2s_jax.training.appender import Appender


def test_what_a_full_disk_refuses_waits_and_nothing_is_cut(tmp_path):
    path, said = tmp_path / "made" / "log", []
    file = Appender(path, said.append)
    file.add(b"one\n")
    with full_disk(6):
        file.add(b"two\n")
        assert path.read_bytes() == b"one\n"
        file.add(b"three\n")
    assert path.read_bytes() == b"one\n" and len(said) == 1
    assert "log cannot be written (File too large). Training goes on; what is for it waits." in said[0]
    file.add(b"four\n")
    file.close()
    assert path.read_bytes() == b"one\ntwo\nthree\nfour\n"
    assert said[1:] == [f"{path} is written again."]


def test_a_file_that_cannot_be_made_is_made_later(tmp_path):
    said = []
    file = Appender(tmp_path / "place" / "log", said.append)
    (tmp_path / "place").touch()
    file.add(b"one\n")
    (tmp_path / "place").unlink()
    file.add(b"two\n")
    file.close()
    assert (tmp_path / "place" / "log").read_bytes() == b"one\ntwo\n" and len(said) == 2


def test_no_more_waits_than_memory_has_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr(appender, "_MOST", 8)
    file = Appender(tmp_path / "log", lambda _: None)
    with full_disk(0):
        for record in (b"one\n", b"three\n", b"two\n"):
            file.add(record)
    file.add(b"")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
