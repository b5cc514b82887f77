import json

import numpy as np
import pytest

from tests.evaluation.conftest import TEXTS
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.pairs import find_pairs, text_of
from v2s_jax.media.audio import write_wav

WAVE = np.zeros(640, np.float32)


def write(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, WAVE)


def test_files_are_matched_by_stem_with_their_alignments(folders):
    pairs, failures = find_pairs(*folders)
    assert {pair.name: pair.text for pair in pairs} == TEXTS
    assert all(pair.recording.stem == pair.generated.stem == pair.name for pair in pairs)
    assert failures == {}


def test_the_same_subfolder_wins_over_the_same_stem(tmp_path):
    write(*(tmp_path / top / speaker / "a.wav" for top in ("made", "real") for speaker in ("s1", "s2")))
    pairs, _ = find_pairs(tmp_path / "made", tmp_path / "real")
    assert [pair.recording for pair in pairs] == [tmp_path / "real" / speaker / "a.wav" for speaker in ("s1", "s2")]


def test_an_ambiguous_stem_is_refused(tmp_path):
    write(tmp_path / "made" / "a.wav", tmp_path / "real" / "s1" / "a.wav", tmp_path / "real" / "s2" / "a.wav")
    with pytest.raises(V2SError, match=r"a\.wav may belong to .*s1.* or .*s2.*; arrange"):
        find_pairs(tmp_path / "made", tmp_path / "real")


def test_what_has_no_recording_is_reported_and_sound_wins_over_a_clip_of_the_name(tmp_path):
    write(tmp_path / "made" / "a.wav", tmp_path / "made" / "b.wav", tmp_path / "real" / "a.flac.wav")
    write(tmp_path / "real" / "a.wav")
    (tmp_path / "made" / "a.mp4").write_bytes(b"the picture with the sound put back")
    (tmp_path / "made" / ".a.wav.tmp").write_bytes(b"")
    pairs, failures = find_pairs(tmp_path / "made", tmp_path / "real")
    assert [(pair.name, pair.generated.suffix) for pair in pairs] == [("a", ".wav")]
    assert list(failures) == ["b"] and "no recording of that name" in failures["b"]


def test_folders_that_cannot_be_evaluated(tmp_path):
    write(tmp_path / "made" / "a.wav", tmp_path / "real" / "b.wav")
    (tmp_path / "empty").mkdir()
    with pytest.raises(V2SError, match="missing is not a folder"):
        find_pairs(tmp_path / "missing", tmp_path / "real")
    with pytest.raises(V2SError, match="empty holds no wav file and no clip"):
        find_pairs(tmp_path / "made", tmp_path / "empty")
    with pytest.raises(V2SError, match="no file of .*made has the name of a recording"):
        find_pairs(tmp_path / "made", tmp_path / "real")


@pytest.mark.parametrize(
    "name, content, text",
    [
        ("a.txt", "Good\n morning ", "Good morning"),
        ("a.txt", "Text:  GOOD MORNING\nConf:  4\n", "GOOD MORNING"),
        ("a.align", "0 10 sil\n10 20 good\n20 30 sp\n\n30 40 morning\n", "good morning"),
        ("alignments/s1/a.align", "0 10 hello\n", "hello"),
        ("b.txt", "other", ""),
    ],
)
def test_texts(tmp_path, name, content, text):
    path = tmp_path / (name if name.startswith("alignments") else f"s1/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    assert text_of(tmp_path / "s1" / "a.wav", tmp_path) == text


def test_texts_of_a_manifest(tmp_path):
    write(*(tmp_path / top / f"{name}.wav" for top in ("made", "real") for name in "abc"))
    rows = [{"id": "a", "text": "one"}, {"source": "somewhere/b.mp4", "text": "two"}, {"id": "c"}, ["no", "row"]]
    lines = [json.dumps(row) for row in rows] + ['{"id": "c", "te']
    (tmp_path / "made" / "manifest.jsonl").write_text("\n".join(lines))
    pairs, _ = find_pairs(tmp_path / "made", tmp_path / "real")
    assert [pair.text for pair in pairs] == ["one", "two", ""]
