from collections import Counter
from pathlib import Path

import pytest

from v2s_jax.data.corpus import ClipSpec, find_corpus, hashed_split, read_text, select, video_files
from v2s_jax.errors import V2SError


def spec(id: str, split: str = "train") -> ClipSpec:
    return ClipSpec(id, id.split("/")[0], Path(id + ".mp4"), "", split)


def test_hashed_splits_have_their_shares_and_stay():
    splits = Counter(hashed_split(f"clip{i}", {"val": 0.1, "test": 0.2}) for i in range(5000))
    assert splits["val"] == pytest.approx(500, abs=75)
    assert splits["test"] == pytest.approx(1000, abs=100)
    assert hashed_split("clip7", {"val": 0.1}) == hashed_split("clip7", {"val": 0.1})
    # Pinned: another answer would move clips of existing data sets between train and test.
    halves = [hashed_split(f"clip{i}", {"val": 0.5}) for i in range(6)]
    assert halves == ["val", "train", "train", "val", "train", "train"]


def test_select_by_speaker_and_limit():
    specs = [spec("a/1"), spec("a/2", "val"), spec("b/1"), spec("b/2"), spec("b/3", "val")]
    assert [clip.id for clip in select(specs, speakers=["b"])] == ["b/1", "b/2", "b/3"]
    assert [clip.id for clip in select(specs, limit=1)] == ["a/1", "a/2"]


def test_select_refuses():
    with pytest.raises(V2SError, match="have the same id 'a/1'"):
        select([spec("a/1"), spec("a/1")])
    with pytest.raises(V2SError, match="no clip of speaker 'c'; the speakers are a, b"):
        select([spec("a/1"), spec("b/1")], speakers=["c"])
    with pytest.raises(V2SError, match="no clips found"):
        select([])


def test_unknown_corpus_is_refused():
    with pytest.raises(V2SError, match="no corpus called 'nothing'"):
        find_corpus("nothing")


def test_video_files_by_suffix_without_hidden_ones(tmp_path):
    for name in ("b/x.MP4", "a/y.mpg", "a/y.txt", ".hidden/z.mp4", "a/._y.mpg", "top.webm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in video_files(tmp_path)] == [
        "a/y.mpg",
        "b/x.MP4",
        "top.webm",
    ]


def test_text_in_old_encodings_is_read(tmp_path):
    (tmp_path / "old.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "new.txt").write_bytes(b"\xef\xbb\xbf" + "café".encode())
    assert read_text(tmp_path / "old.txt") == read_text(tmp_path / "new.txt") == "café"
    with pytest.raises(V2SError, match="cannot be read"):
        read_text(tmp_path / "none.txt")
