"""Many clips, some of them broken; `V2S_MANY=1000 pytest tests/synthesis/test_many.py` is the long run."""

import ctypes
import json
import os
import shutil

import numpy as np
import pytest

from tests.synthesis.test_command import synthesize
from v2s_jax.media.audio import read_wav, write_wav
from v2s_jax.media.mux import write_video
from v2s_jax.media.video import read_frames
from v2s_jax.synthesis.manifest import Manifest

COUNT = int(os.environ.get("V2S_MANY", "20"))
BROKEN = max(6, COUNT // 20)
MOST_GROWTH = 30  # MB over the last four fifths of a long run
SAID = {
    "text": "not a media file",
    "empty": "the file is empty",
    "cut": "the file was cut short",
    "nobody": "no face was found",
    "sound": "no picture track",
    "gone": "there is no such file",
}


@pytest.fixture(scope="module")
def listed(talker_clip, tmp_path_factory):
    """A list of clips, the broken ones spread over it."""
    folder = tmp_path_factory.mktemp("many")
    frames = [frame for frame, _ in zip(read_frames(talker_clip), range(12), strict=False)]
    write_video(good := folder / "good.mp4", frames, 25, None)
    kinds = {kind: folder / f"kind-{kind}.mp4" for kind in SAID}
    kinds["text"].write_text("This is no video.\n" * 100)
    kinds["empty"].touch()
    kinds["cut"].write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    write_video(kinds["nobody"], [np.full((120, 160, 3), 90, np.uint8)] * 5, 25, None)
    write_wav(kinds["sound"], np.zeros(16000, np.float32))
    names = []
    for index in range(COUNT):
        broken = index * BROKEN // COUNT != (index + 1) * BROKEN // COUNT
        kind = list(SAID)[index * BROKEN // COUNT % len(SAID)] if broken else "good"
        source = kinds.get(kind, good)
        names.append(f"{index}-{kind}.mp4")
        if source.is_file():
            shutil.copy(source, folder / names[-1])
    (folder / "list.txt").write_text("\n".join(names))
    return folder / "list.txt"


def anonymous_megabytes():
    ctypes.CDLL(None).malloc_trim(0)  # what glibc keeps for the next clip is no leak
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


def test_every_good_clip_is_spoken_and_every_broken_one_named(listed, model, tmp_path, monkeypatch):
    memory, add = [], Manifest.add
    monkeypatch.setattr(Manifest, "add", lambda self, entry: memory.append(anonymous_megabytes()) or add(self, entry))
    assert synthesize(listed, "--out", tmp_path, "--model", model, "--no-video", "--batch-size", 4) == 3
    *lines, last = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) == COUNT and last["summary"]["failed"] == BROKEN
    for line in lines:
        kind = line["id"].split("-")[1]
        assert line["status"] == ("ok" if kind == "good" else "failed"), line
        if kind == "good":
            assert len(read_wav(tmp_path / line["wav"])) == 12 * 640
        else:
            assert SAID[kind] in line["error"] and line["source"] in line["error"]
    assert len(list(tmp_path.glob("*.wav"))) == COUNT - BROKEN
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".wav") == ["failed.txt", "manifest.jsonl"]
    # One waveform for equal clips, in whatever batch they were.
    waves = [read_wav(path) for path in tmp_path.glob("*.wav")]
    assert max(abs(wave - waves[0]).max() for wave in waves) <= 1.5 / 32768
    if COUNT >= 1000:  # a shorter run has hardly begun at its fifth
        print(f"anonymous memory in MB at a fifth and at the end: {memory[COUNT // 5]:.0f}, {memory[-1]:.0f}")
        assert memory[-1] - memory[COUNT // 5] < MOST_GROWTH
