import json
import shutil
from collections import Counter

import pytest

from data_pipelines.folder.corpus import Folder
from v2s_jax.data.prepare import prepare
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
    assert (clips["anna/day1/a"].speaker, clips["top"].speaker) == ("anna", tmp_path.name)


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


def test_voxceleb2_is_read_as_it_is(tmp_path):
    dev = [f"dev/mp4/id0001{speaker}/21Uxsk56VDQ/{clip:05d}.mp4" for speaker in (2, 5) for clip in range(60)]
    make_tree(tmp_path, *dev, "test/mp4/id00017/01dfn2spqyE/00001.mp4")
    clips = list(Folder().clips(tmp_path))
    assert {clip.speaker for clip in clips} == {"id00012", "id00015", "id00017"}
    # Nobody that a model learns from is in its test.
    assert [clip.speaker for clip in clips if clip.split == "test"] == ["id00017"]
    assert {clip.split for clip in clips if clip.id.startswith("dev/")} == {"train", "val"}


def test_folders_that_name_no_speaker_do_if_there_is_no_other(tmp_path):
    make_tree(tmp_path, "train/a.mp4", "mp4/b.mp4")
    assert [clip.speaker for clip in Folder().clips(tmp_path)] == ["mp4", "train"]


def test_a_stand_in_is_prepared(tmp_path, talker_clip):
    source, out = tmp_path / "voxceleb2", tmp_path / "out"
    broken, whole = "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", "test/mp4/id00017/01dfn2spqyE/00001.mp4"
    make_tree(source, broken, whole)
    shutil.copyfile(talker_clip, source / whole)
    summary = prepare(Folder(), source, out)
    assert summary.clips == {"test": 1} and [clip.path for clip in summary.skipped] == [str(source / broken)]
    assert json.loads((out / "skipped.jsonl").read_text())["id"] == broken.removesuffix(".mp4")
    (split,) = json.loads((out / "v2s.json").read_text())["splits"].values()
    assert split["speakers"] == ["id00017"] and [count for _, count in split["shards"]] == [1]
    assert len(split["fingerprint"]) == 16 and split["fields"]["mouth"] == 1


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(V2SError, match="is not a folder"):
        list(Folder().clips(tmp_path / "missing"))
