import shutil

import pytest

from data_pipelines.lrs3.corpus import Lrs3, split_of, transcript
from v2s_jax.data.prepare import prepare
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError

TEXT = "Text:  AND THAT IS WHY\nConf:  4\n\nWORD START END ASDSCORE\nAND 0.10 0.20 1.0\n"


def add(root, part, talk, clip, video=None):
    folder = root / part / talk
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{clip}.txt").write_text(TEXT)
    if video:
        shutil.copyfile(video, folder / f"{clip}.mp4")
    else:
        (folder / f"{clip}.mp4").touch()


@pytest.fixture
def root(tmp_path):
    for number in range(200):
        for part in ("pretrain", "trainval"):
            add(tmp_path, part, f"talk{number:03d}", "00001")
    add(tmp_path, "test", "talk000x", "00001")
    add(tmp_path, "test", "talk000x", "00002")
    return tmp_path


def test_parts_become_splits(root):
    clips = list(Lrs3().clips(root))
    splits = {split: [clip for clip in clips if clip.split == split] for split in ("pretrain", "train", "val", "test")}
    assert len(splits["test"]) == 2
    assert 1 <= len(splits["val"]) <= 10 and len(splits["train"]) == 200 - len(splits["val"])
    assert clips[0].text == "AND THAT IS WHY"
    assert all(clip.id == f"{clip.path.parts[-3]}/{clip.speaker}/{clip.path.stem}" for clip in clips)
    assert len({clip.id for clip in clips}) == len(clips)


def test_nobody_in_validation_is_heard_in_training(root):
    clips = list(Lrs3().clips(root))
    held = {clip.speaker for clip in clips if clip.split == "val"}
    assert held and not held & {clip.speaker for clip in clips if clip.split in ("train", "pretrain")}


def test_the_rule_is_fixed():
    held = [number for number in range(200) if split_of("trainval", f"talk{number:03d}") == "val"]
    assert held == [27, 35, 43, 67]
    assert split_of("test", f"talk{held[0]:03d}") == "test" and split_of("pretrain", f"talk{held[0]:03d}") is None


def test_transcripts(tmp_path):
    assert transcript(tmp_path / "none.txt") == ""
    (tmp_path / "odd.txt").write_text("hello\n")
    with pytest.raises(V2SError, match="odd.txt has no line that begins with 'Text:'"):
        transcript(tmp_path / "odd.txt")


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(V2SError, match="none of LRS3's folders"):
        list(Lrs3().clips(tmp_path))


def test_a_stand_in_is_prepared(tmp_path, talker_clip):
    add(tmp_path / "lrs3", "test", "talk", "00001", talker_clip)
    summary = prepare(Lrs3(), tmp_path / "lrs3", tmp_path / "out")
    record = ShardedDataset(tmp_path / "out", "test").read(0)
    assert summary.clips == {"test": 1} and not summary.skipped
    assert (record.id, record.speaker, record.text) == ("test/talk/00001", "talk", "AND THAT IS WHY")
    assert record.mouth.shape == (75, 96, 96) and len(record.audio) == 75 * 640
