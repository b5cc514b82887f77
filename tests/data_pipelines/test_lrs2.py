import shutil

import pytest

from data_pipelines.lrs2.corpus import Lrs2, listed
from v2s_jax.data.prepare import prepare
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError


def add(root, folder, clip, video=None):
    path = root / folder / f"{clip}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".txt").write_text("Text:  GOOD  EVENING\nConf:  3\n")
    if video:
        shutil.copyfile(video, path)
    else:
        path.touch()


def test_the_lists_say_what_is_of_which_split(tmp_path):
    for clip in ("one/00001", "one/00002", "two/00001"):
        add(tmp_path, "main", clip)
    add(tmp_path, "pretrain", "one/00001")
    (tmp_path / "train.txt").write_text("one/00002\n\n")
    (tmp_path / "test.txt").write_text("two/00001 NF\n")
    (tmp_path / "pretrain.txt").write_text("one/00001\n")
    clips = list(Lrs2().clips(tmp_path))
    assert [(clip.id, clip.speaker, clip.split) for clip in clips] == [
        ("pretrain/one/00001", "one", "pretrain"),
        ("main/one/00002", "one", "train"),
        ("main/two/00001", "two", "test"),
    ]
    assert all(clip.text == "GOOD EVENING" and clip.path.is_file() for clip in clips)


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(V2SError, match="none of LRS2's lists train.txt"):
        list(Lrs2().clips(tmp_path))


@pytest.mark.parametrize("line", ["00001", "../main/00001", "a/../b", "a//b", "one/.."])
def test_lists_cannot_lead_elsewhere(tmp_path, line):
    (tmp_path / "val.txt").write_text(f"{line}\n")
    with pytest.raises(V2SError, match="expected <video>/<clip>"):
        listed(tmp_path / "val.txt")


def test_a_stand_in_is_prepared(tmp_path, talker_clip):
    source = tmp_path / "lrs2"
    add(source, "main", "show/00001", talker_clip)
    (source / "test.txt").write_text("show/00001 NF\nshow/00002\n")
    summary = prepare(Lrs2(), source, tmp_path / "out")
    record = ShardedDataset(tmp_path / "out", "test").read(0)
    assert summary.clips == {"test": 1} and list(summary.skipped) != []
    assert (record.id, record.speaker, record.text) == ("main/show/00001", "show", "GOOD EVENING")
