from pathlib import Path

import pytest

from v2s_jax.errors import V2SError
from v2s_jax.synthesis.jobs import Job, Wanted, find_jobs, output_paths


@pytest.fixture
def tree(tmp_path):
    for name in ("in/a.mp4", "in/s1/a.MPG", "in/s1/notes.txt", "in/.hidden/b.mp4", "other/a.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(jobs):
    return [job.name for job in jobs]


def test_clips_of_a_folder_keep_their_path(tree):
    jobs = find_jobs([tree / "in"], tree / "out")
    assert names(jobs) == ["a", "s1/a"]
    assert jobs[1].source == tree / "in/s1/a.MPG"


def test_single_clips_whether_they_exist_or_not(tree):
    assert names(find_jobs([tree / "in/s1/a.MPG", Path("nowhere/b.mp4")], tree / "out")) == ["a", "b"]


def test_a_clip_named_twice_is_spoken_once(tree):
    assert names(find_jobs([tree / "in", tree / "in/a.mp4"], tree / "out")) == ["a", "s1/a"]


def test_collisions_are_an_error_before_anything_is_done(tree):
    with pytest.raises(V2SError, match=r"in/a.mp4 and .*other/a.mp4 would both be written to .*out/a.wav"):
        find_jobs([tree / "in", tree / "other"], tree / "out")


def test_outputs_below_the_input_are_not_input(tree):
    (tree / "in/out").mkdir()
    (tree / "in/out/a.mp4").touch()
    assert names(find_jobs([tree / "in"], tree / "in/out")) == ["a", "s1/a"]


@pytest.mark.parametrize("inputs, out", [(["in"], "in"), (["in/a.mp4"], "in"), (["in/a.mp4"], "in/s1/..")])
def test_a_clip_is_never_replaced_by_its_own_output(tree, inputs, out):
    with pytest.raises(V2SError, match="would replace a clip"):
        find_jobs([tree / name for name in inputs], tree / out)


def test_folder_without_clips(tree):
    (tree / "empty").mkdir()
    with pytest.raises(V2SError, match="no video file in this folder"):
        find_jobs([tree / "empty"], tree / "out")


def test_a_list_names_clips_and_folders_relative_to_itself(tree):
    (tree / "other/a.mp4").rename(tree / "other/b.mp4")
    (tree / "clips.txt").write_text("# first\nin/s1\n\nother/b.mp4\n")
    jobs = find_jobs([tree / "clips.txt"], tree / "out")
    assert [job.source for job in jobs] == [tree / "in/s1/a.MPG", tree / "other/b.mp4"]


@pytest.mark.parametrize("text, reason", [("# nothing\n", "no clip in this list"), ("more.txt\n", "names the list")])
def test_lists_that_name_no_clip_are_refused(tree, text, reason):
    (tree / "clips.txt").write_text(text)
    with pytest.raises(V2SError, match=reason):
        find_jobs([tree / "clips.txt"], tree / "out")


def test_a_list_that_is_not_there_is_refused(tree):
    with pytest.raises(V2SError, match="cannot be read as a list"):
        find_jobs([tree / "nowhere.txt"], tree / "out")


def test_records_of_a_data_set(talker_data, tmp_path):
    jobs = find_jobs([talker_data], tmp_path)
    assert len(jobs) == 6 and {job.split for job in jobs} == {"train"} and [job.index for job in jobs] == [*range(6)]
    assert all(job.name.startswith("train/") and job.source == talker_data for job in jobs)
    assert find_jobs([talker_data], tmp_path, split="train") == jobs
    with pytest.raises(V2SError, match="no split 'test'; its splits are train"):
        find_jobs([talker_data], tmp_path, split="test")


def test_files_are_those_that_are_wanted():
    clip, record = Job(Path("a.mp4"), "a"), Job(Path("data"), "train/1", "train", 4)
    assert output_paths(Path("o"), clip, Wanted()) == {"sound": Path("o/a.wav"), "video": Path("o/a.mp4")}
    wanted = Wanted("flac", True, True)
    assert output_paths(Path("o"), record, wanted) == {"sound": Path("o/train/1.flac"), "mel": Path("o/train/1.npy")}
