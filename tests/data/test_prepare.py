import argparse
import dataclasses
import errno
import fcntl
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.grid.corpus import Grid
from v2s_jax.data import command, prepare, schema
from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.prepare import STAGING, Options
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.data.staging import publish
from v2s_jax.errors import V2SError
from v2s_jax.features.pitch import energy, pitch
from v2s_jax.media.clip import load_clip


@pytest.fixture(scope="session")
def tree(talker_tree, tmp_path_factory) -> Path:
    """Four good clips of two speakers and one that is no video."""
    tree = shutil.copytree(talker_tree, tmp_path_factory.mktemp("tree") / "grid")
    for speaker in ("t00", "t01"):
        sorted((tree / speaker).glob("*.mp4"))[0].unlink()
    (tree / "t01" / "broken.mp4").write_text("this is a text file")
    return tree


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def grid_only(monkeypatch):
    """The command finds the corpus without an installed package."""
    monkeypatch.setattr(command, "find_corpus", lambda name: Grid())


@pytest.fixture(scope="session")
def prepared(tree, tmp_path_factory) -> tuple[Path, prepare.Summary]:
    out = tmp_path_factory.mktemp("prepared") / "data"
    return out, prepare.prepare(Grid(), tree, out, Options(jobs=2))


def test_summary(prepared):
    out, summary = prepared
    assert (summary.clips, summary.speakers, summary.silent) == ({"train": 4}, 2, 0)
    assert summary.hours == pytest.approx(sum(read_metadata(out).splits["train"].n_frames) / 25 / 3600)
    assert "4 clips (4 train)" in str(summary) and "1 clips skipped" in str(summary)


def test_only_whole_files_are_left(prepared):
    out, _ = prepared
    names = {path.name for path in out.iterdir()}
    assert {"v2s.json", "dataset_info.json", "features.json", "contact_sheet.png", "skipped.jsonl"} <= names
    assert not any(name.startswith(".") for name in names)


def test_a_bad_clip_is_listed_and_skipped(prepared, tree):
    out, summary = prepared
    lines = [json.loads(line) for line in (out / "skipped.jsonl").read_text().splitlines()]
    assert [(line["id"], line["path"]) for line in lines] == [("t01/broken", str(tree / "t01" / "broken.mp4"))]
    assert "broken.mp4" in lines[0]["reason"] and lines[0]["details"] == ""
    assert [clip.id for clip in summary.skipped] == ["t01/broken"]


def test_a_record_holds_what_the_clip_shows_and_says(prepared, tree):
    dataset = ShardedDataset(prepared[0], "train")
    index = dataset.ids.index(min(dataset.ids))
    record, clip = dataset.read(index), load_clip(tree / f"{min(dataset.ids)}.mp4")
    assert record.n_frames == len(clip.mouth) == record.end_frame
    assert record.coverage == pytest.approx(clip.coverage) and record.confidence == pytest.approx(clip.confidence)
    assert np.abs(record.mouth.astype(int) - clip.mouth).mean() < 2
    assert record.face.shape == clip.faces.shape
    assert np.abs(record.expression.astype(int) - clip.expression).mean() < 2
    np.testing.assert_allclose(record.audio, clip.audio, atol=1 / 32768)
    np.testing.assert_array_equal(record.pitch, pitch(clip.audio).astype(np.float32))
    np.testing.assert_allclose(record.energy, energy(clip.audio), rtol=1e-6)
    assert record.text and record.speaker == "t00" and record.source.endswith(".mp4")


def test_contact_sheet_has_a_row_for_every_clip(prepared):
    with Image.open(prepared[0] / "contact_sheet.png") as sheet:
        assert sheet.size == (14 * 96, 4 * 110)
        assert np.asarray(sheet).std() > 20


def test_again_there_is_nothing_to_do_and_the_status_still_tells(prepared, tree, grid_only, capsys):
    out, _ = prepared
    before = (out / "v2s.json").stat().st_mtime_ns
    assert command.run(parse("grid", "--source", str(tree), "--out", str(out))) == 3
    assert "nothing to do" in capsys.readouterr().out
    assert (out / "v2s.json").stat().st_mtime_ns == before


def test_a_finished_data_set_is_not_mixed_with_other_clips(prepared, tree):
    with pytest.raises(V2SError, match="finished data set of other clips"):
        prepare.prepare(Grid(), tree, prepared[0], Options(speakers=("t00",)))


def test_killed_and_run_again_it_makes_the_same_data_set(prepared, tree, tmp_path):
    """The process is killed for real after its first clip; the clips it had are not made again."""
    out = tmp_path / "data"
    code = (
        "import sys; from pathlib import Path; from data_pipelines.grid.corpus import Grid; "
        "from v2s_jax.data.prepare import prepare; prepare(Grid(), Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tree), str(out)], stderr=subprocess.DEVNULL)
    staged: list[Path] = []
    deadline = time.monotonic() + 120
    while not staged and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
        staged = list(out.glob(f"{STAGING}/clips/*/*.example"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert staged and not (out / "v2s.json").exists()
    with pytest.raises(V2SError, match="not a prepared data set"):
        ShardedDataset(out, "train")
    marked = schema.decode(staged[0].read_bytes()).id
    times = {path: path.stat().st_mtime_ns for path in staged}

    made = []
    original = prepare.replacing

    def watched(path):
        made.append(Path(path))
        return original(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "replacing", watched)
        prepare.prepare(Grid(), tree, out)
    assert not set(times) & set(made)
    assert read_metadata(out).splits == read_metadata(prepared[0]).splits
    assert marked in read_metadata(out).splits["train"].ids


def test_shards_are_no_larger_than_asked(talker_data, tmp_path):
    dataset = ShardedDataset(talker_data, "train")
    staged = []
    for number in range(12):
        record = dataclasses.replace(dataset.read(number % 6), id=f"{number}")
        staged.append(tmp_path / f"{number}.example")
        staged[-1].write_bytes(schema.encode(record))
    publish(Grid(), {"train": staged}, tmp_path, {}, {}, shard_megabytes=1)
    megabytes = 2 * sum(len(dataset.raw(index)) for index in range(6)) / 2**20
    assert len(list(tmp_path.glob("*.array_record-*"))) == math.ceil(megabytes) > 1
    assert sorted(ShardedDataset(tmp_path, "train").ids, key=int) == [str(number) for number in range(12)]


def test_no_usable_clip_is_an_error_and_leaves_no_data_set(tmp_path):
    source = tmp_path / "grid"
    (source / "s1").mkdir(parents=True)
    (source / "s1" / "bbaf2n.mpg").write_bytes(b"")
    with pytest.raises(V2SError, match="none of the 1 clips could be used; the first: .*bbaf2n.mpg"):
        prepare.prepare(Grid(), source, tmp_path / "out")
    assert not (tmp_path / "out" / "v2s.json").exists()


def test_two_runs_at_once_are_refused(tree, tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(V2SError, match="another v2s-jax prepare is working"):
        prepare.prepare(Grid(), tree, tmp_path)
    os.close(handle)


def test_a_file_in_the_place_of_the_folder_is_refused(tree, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(V2SError, match="cannot write to .*; give a folder that can be written with --out"):
            prepare.prepare(Grid(), tree, out)


def test_a_url_in_the_place_of_the_folder_is_refused(tree):
    with pytest.raises(V2SError, match="gs:/bucket/data is a URL, and data sets go to folders"):
        prepare.prepare(Grid(), tree, Path("gs://bucket/data"))
    assert not Path("gs:").exists()


def test_a_folder_without_permission_is_refused(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, whom nothing is denied
    with pytest.raises(V2SError, match="Permission denied"):
        prepare.prepare(Grid(), tree, tmp_path / "out")


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), ValueError("INTERNAL: write failed: No space left on device")],
)
def test_a_full_disk_is_a_sentence_that_says_how_to_go_on(error, tmp_path):
    with pytest.raises(V2SError, match="the disk of .* is full; .* goes on where it stopped"):
        with prepare.writing_to(tmp_path):
            raise error


def test_a_corpus_that_is_not_made_needs_a_source(tmp_path):
    with pytest.raises(V2SError, match="prepare grid needs --source DIR"):
        prepare.prepare(Grid(), None, tmp_path)


def test_a_corpus_that_makes_its_clips_makes_them_once(prepared, tree, tmp_path):
    class Made(Grid):
        def make_source(self, folder, jobs, speakers, clips_per_speaker, scene):
            assert (jobs, speakers, clips_per_speaker, scene) == (1, ("t00",), 7, "turn=3")
            assert not (folder / "t00").exists()
            shutil.copytree(tree, folder)

    options = Options(speakers=("t00",), limit=1, clips_per_speaker=7, scene="turn=3")
    with pytest.raises(V2SError, match="the scenes under .* are as they are: leave --scene or --source out"):
        prepare.prepare(Made(), tree, tmp_path, options)
    assert prepare.prepare(Made(), None, tmp_path, options).clips == {"train": 1}
    assert prepare.prepare(Made(), None, tmp_path, options).nothing_to_do
    with pytest.raises(V2SError, match="finished data set of grid made with other options"):
        prepare.prepare(Made(), None, tmp_path, dataclasses.replace(options, scene=""))


def test_options_are_parsed():
    args = parse("grid", "--source", "a", "--out", "b", "--speakers", "s1,s2", "--limit", "3", "--jobs", "4")
    assert (args.speakers, args.limit, args.jobs, args.source) == (("s1", "s2"), 3, 4, Path("a"))
    with pytest.raises(SystemExit):
        parse("grid", "--out", "b", "--jobs", "0")
