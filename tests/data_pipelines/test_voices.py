from collections import Counter

import numpy as np
import pytest

from data_pipelines.voices.corpus import Voices
from data_pipelines.voices.generate import N_VOICES, generate, identity, say, sentences
from v2s_jax.data import codecs
from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.prepare import Options, prepare
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError
from v2s_jax.features.pitch import pitch


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_top_folder_names_the_speaker(tmp_path):
    touch(tmp_path, "anna/day1/a.wav", "anna/b.mp4", "ben/c.flac", "ben/notes.doc")
    (tmp_path / "ben/c.txt").write_text("hello  world\n")
    clips = {clip.id: clip for clip in Voices().clips(tmp_path)}
    assert {id: clip.speaker for id, clip in clips.items()} == {"anna/day1/a": "anna", "anna/b": "anna", "ben/c": "ben"}
    assert (clips["ben/c"].text, clips["anna/b"].text) == ("hello world", "")


def test_whole_speakers_are_held_out(tmp_path):
    touch(tmp_path, *(f"p{number}/{clip}.wav" for number in range(150) for clip in "ab"))
    splits = {}
    for clip in Voices().clips(tmp_path):
        splits.setdefault(clip.speaker, set()).add(clip.split)
    counts = Counter(next(iter(found)) for found in splits.values() if len(found) == 1)
    assert counts.total() == 150 and 4 <= counts["val"] <= 25 and 4 <= counts["test"] <= 25


def test_folders_named_after_splits_are_splits(tmp_path):
    touch(tmp_path, "train/anna/a.wav", "test/ben/b.wav")
    clips = {clip.id: (clip.split, clip.speaker) for clip in Voices().clips(tmp_path)}
    assert clips == {"train/anna/a": ("train", "anna"), "test/ben/b": ("test", "ben")}


def test_a_sound_without_a_speaker_is_refused(tmp_path):
    touch(tmp_path, "train/a.wav")
    with pytest.raises(V2SError, match="a.wav lies in no speaker's folder"):
        list(Voices().clips(tmp_path))


def test_voices_are_many_and_functions_of_their_number():
    made = [identity(number) for number in range(N_VOICES)]
    assert made == [identity(number) for number in range(N_VOICES)]
    assert len({(who.voice.name, who.voice.pitch, round(who.height, 3)) for who in made}) == N_VOICES
    assert len({who.voice.name.split("+")[1] for who in made}) > 70


def test_sentences_are_not_repeated():
    said = sentences(3, 20)
    assert len(said) == len(set(said.values())) == 20
    assert sum(name.startswith("free") for name in said) == 8


def test_a_voice_says_a_sentence_always_the_same_way():
    text, wave = say("bbaf2n", 1)
    assert text == "bin blue at f two now"
    np.testing.assert_array_equal(wave, say("bbaf2n", 1)[1])
    assert np.sqrt(np.mean(wave**2)) > 0.02 and abs(wave).max() < 1


def test_a_smaller_head_speaks_higher_and_faster(monkeypatch):
    from data_pipelines.voices import generate

    waves = {}
    for height in (1.0, 1.25):
        monkeypatch.setattr(generate, "identity", lambda number, h=height: generate.Identity(identity(1).voice, h))
        waves[height] = say("bbaf2n", 1)[1]
    assert len(waves[1.0]) == pytest.approx(1.25 * len(waves[1.25]), abs=2)
    low, high = (np.median(track[track > 0]) for track in map(pitch, waves.values()))
    assert high / low == pytest.approx(1.25, rel=0.05)


def test_prepared_they_have_sound_and_no_pictures(tmp_path):
    """Two voices, one of them made again after an interruption; the data set has what the files have."""
    out = tmp_path / "data"
    summary = prepare(Voices(), None, out, Options(speakers=("v000", "v001"), clips_per_speaker=2))
    assert summary.speakers == 2 and sum(summary.clips.values()) == 4
    assert "face" not in str(summary)
    for split in read_metadata(out).splits:
        dataset = ShardedDataset(out, split)
        assert dataset.fields == {"audio", "pitch", "energy"}
        record = dataset.read(0)
        assert record.mouth is None and len(record.audio) == 640 * record.n_frames and record.text
    assert not (out / "contact_sheet.png").exists()


def test_files_made_before_are_kept(tmp_path):
    generate(tmp_path, [0], 2)
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "v000").iterdir()}
    (tmp_path / "v000" / f"{min(sentences(0, 2))}.txt").unlink()
    generate(tmp_path, [0], 2)
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "v000").iterdir()}
    assert again.keys() == made.keys() and len(made) == 4
    assert sum(again[name] != made[name] for name in made) == 2


def test_only_voices_that_there_are(tmp_path):
    with pytest.raises(V2SError, match="no voice is called 's1'; they are v000 to v255"):
        Voices().make_source(tmp_path, 1, ["s1"], None)
    with pytest.raises(V2SError, match="voices have no scene"):
        Voices().make_source(tmp_path, 1, ["v000"], 1, "turn=30")


def test_files_are_flac(tmp_path):
    generate(tmp_path, [1], 1)
    (path,) = (tmp_path / "v001").glob("*.flac")
    wave = say(next(iter(sentences(1, 1).values())), 1)[1]
    np.testing.assert_allclose(
        codecs.decode_audio([path.read_bytes()], 0, len(wave) // 640), wave[: len(wave) // 640 * 640], atol=1 / 32768
    )
