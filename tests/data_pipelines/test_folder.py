from collections import Counter

import pytest

from data_pipelines.folder.corpus import Folder
from v2s_jax.errors import V2SError


def make_tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_any_tree_is_read(tmp_path):
    make_tree(tmp_path, "anna/day1/a.mp4", "anna/day1/b.webm", "top.mov", "notes.doc")
    (tmp_path / "anna/day1/a.txt").write_text("  hello\n world ")
    clips = {clip.id: clip for clip in Folder().clips(tmp_path)}
    assert sorted(clips) == ["anna/day1/a", "anna/day1/b", "top"]
    assert (clips["anna/day1/a"].text, clips["anna/day1/b"].text) == ("hello world", "")
    assert (clips["anna/day1/a"].speaker, clips["top"].speaker) == ("day1", tmp_path.name)


def test_splits_by_hash_stay_when_clips_are_added(tmp_path):
    make_tree(tmp_path, *(f"a/{i}.mp4" for i in range(300)))
    before = {clip.id: clip.split for clip in Folder().clips(tmp_path)}
    make_tree(tmp_path, *(f"b/{i}.mp4" for i in range(100)))
    after = {clip.id: clip.split for clip in Folder().clips(tmp_path)}
    assert all(after[id] == split for id, split in before.items())
    counts = Counter(after.values())
    assert 5 <= counts["val"] <= 40 and 5 <= counts["test"] <= 40 and counts["train"] > 320


def test_folders_named_after_splits_are_splits(tmp_path):
    make_tree(tmp_path, *(f"{split}/anna/{i}.mp4" for split in ("train", "val", "test") for i in range(30)))
    assert all(clip.split == clip.id.split("/")[0] for clip in Folder().clips(tmp_path))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(V2SError, match="is not a folder"):
        list(Folder().clips(tmp_path / "missing"))
