import shutil

import pytest

from data_pipelines.grid.corpus import Grid, align_text, held_out
from data_pipelines.grid.grammar import is_code
from v2s_jax.errors import V2SError


def make_tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_reads_a_tree_with_alignments(talker_tree):
    clips = list(Grid().clips(talker_tree))
    assert [clip.speaker for clip in clips] == ["t00"] * 3 + ["t01"] * 3
    for clip in clips:
        assert clip.path.is_file() and clip.id == f"{clip.speaker}/{clip.path.stem}"
        assert clip.text == align_text(talker_tree / "alignments" / clip.speaker / f"{clip.path.stem}.align")
        assert clip.text and not {"sil", "sp"} & set(clip.text.split())


def test_text_without_alignments_comes_from_the_name(tmp_path):
    make_tree(tmp_path, "s2/bbaf2n.mpg", "s2/something.mpg")
    texts = {clip.id: clip.text for clip in Grid().clips(tmp_path)}
    assert texts == {"s2/bbaf2n": "bin blue at f two now", "s2/something": ""}


def test_alignments_and_names_agree(talker_tree, tmp_path):
    shutil.copytree(talker_tree, tmp_path / "grid", ignore=shutil.ignore_patterns("alignments"))
    spelled = {clip.id: clip.text for clip in Grid().clips(tmp_path / "grid")}
    aligned = {clip.id: clip.text for clip in Grid().clips(talker_tree)}
    codes = [id for id in aligned if is_code(id.split("/")[1])]
    assert codes and all(spelled[id] == aligned[id] for id in codes)


def test_folders_between_speaker_and_clip_are_passed_over(tmp_path):
    make_tree(tmp_path, "s3/video/mpg_6000/bbaf2n.mpg")
    assert [clip.id for clip in Grid().clips(tmp_path)] == ["s3/bbaf2n"]


def test_a_speakers_folder_alone_will_do(tmp_path):
    make_tree(tmp_path / "s3", "bbaf2n.mpg")
    assert [(clip.id, clip.speaker) for clip in Grid().clips(tmp_path / "s3")] == [("s3/bbaf2n", "s3")]


def test_the_held_out_clips_of_s1():
    splits = held_out("s1")
    by_split = {name: {stem for stem, split in splits.items() if split == name} for name in ("val", "test")}
    assert len(by_split["val"]) == len(by_split["test"]) == 50 and len(splits) == 100
    assert all(is_code(stem) for stem in splits)
    assert Grid().split("s1", "bbizzn") == "test" and Grid().split("s1", "bbaf2n") == "train"
    assert Grid().split("s2", "bbizzn") == "train"


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(V2SError, match="is not a folder; --source must name one that holds GRID"):
        list(Grid().clips(tmp_path / "missing"))
