import shutil

import pytest

from data_pipelines.lrw.corpus import Lrw
from v2s_jax.data.prepare import prepare
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError

TEXT = "Disc reference: 6110235\nChannel: BBC1\nProgram start: 0\nClip start: 12.3\nDuration: 0.53 seconds\n"


def add(root, place, video=None):
    path = root / "lipread_mp4" / f"{place}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".txt").write_text(TEXT)
    if video:
        shutil.copyfile(video, path)
    else:
        path.touch()


def test_folders_give_word_and_split(tmp_path):
    for place in (
        "YOUNG/val/YOUNG_00001",
        "ABOUT/train/ABOUT_00002",
        "ABOUT/test/ABOUT_00002",
        "ABOUT/train/ABOUT_00001",
    ):
        add(tmp_path, place)
    assert [(clip.id, clip.text, clip.split) for clip in Lrw().clips(tmp_path)] == [
        ("ABOUT/test/ABOUT_00002", "ABOUT", "test"),
        ("ABOUT/train/ABOUT_00001", "ABOUT", "train"),
        ("ABOUT/train/ABOUT_00002", "ABOUT", "train"),
        ("YOUNG/val/YOUNG_00001", "YOUNG", "val"),
    ]
    assert all(clip.path.is_file() for clip in Lrw().clips(tmp_path))


def test_no_two_clips_are_one_speakers(tmp_path):
    for split in ("train", "val", "test"):
        for number in (1, 2):
            add(tmp_path, f"ABOUT/{split}/ABOUT_0000{number}")
    assert len({clip.speaker for clip in Lrw().clips(tmp_path)}) == 6


def test_what_is_not_of_the_layout_is_left_out(tmp_path):
    for place in (
        "ABOUT/train/ABOUT_00001",
        "ABOUT/extra/ABOUT_00001",
        "ABOUT/train/._ABOUT_00001",
        "ABOUT/train/AGO_00001",
    ):
        add(tmp_path, place)
    assert [clip.id for clip in Lrw().clips(tmp_path)] == ["ABOUT/train/ABOUT_00001"]


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(V2SError, match="does not hold LRW's folder lipread_mp4; --source must name its parent"):
        list(Lrw().clips(tmp_path))
    with pytest.raises(V2SError, match="is not a folder"):
        list(Lrw().clips(tmp_path / "missing"))


def test_a_stand_in_is_prepared(tmp_path, talker_clip):
    add(tmp_path / "lrw", "BLUE/test/BLUE_00001", talker_clip)
    summary = prepare(Lrw(), tmp_path / "lrw", tmp_path / "out")
    record = ShardedDataset(tmp_path / "out", "test").read(0)
    assert summary.clips == {"test": 1} and not summary.skipped
    assert (record.id, record.speaker, record.text) == ("BLUE/test/BLUE_00001", "BLUE/test/BLUE_00001", "BLUE")
