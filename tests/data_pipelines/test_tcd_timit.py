import shutil

import pytest

from data_pipelines.tcd_timit.corpus import VOLUNTEERS, TcdTimit, phonemes, sentence, split_of
from v2s_jax.data.prepare import prepare
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError

LABELS = """#!MLF!#
"Q:/Videos/TCD-TIMIT/{part}/{speaker}/Clips/straightcam/sx301.rec"
0 10100000 sil
10100000 10700000 w
10700000 12100000 iy
12100000 63900000 sil
.
"Q:/Videos/TCD-TIMIT/{part}/{speaker}/Clips/straightcam/sa1.rec"
0 10100000 sh
.
"""


def add(root, speaker, name, text=None, video=None, camera="straightcam"):
    path = root / speaker / "Clips" / camera / f"{name}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        path.with_suffix(".txt").write_text(text)
    if video:
        shutil.copyfile(video, path)
    else:
        path.touch()
    return path


def test_speakers_and_cameras(tmp_path):
    add(tmp_path, "volunteers/08F", "sa1")
    add(tmp_path, "volunteers/01M", "sx3")
    add(tmp_path, "volunteers/01M", "sx4", camera="30degcam")
    add(tmp_path, "lipspeakers/Lipspkr1", "sa1")
    clips = list(TcdTimit().clips(tmp_path))
    assert [(clip.id, clip.speaker, clip.text, clip.split) for clip in clips] == [
        ("lipspeakers/Lipspkr1/sa1", "Lipspkr1", "", "train"),
        ("volunteers/01M/sx3", "01M", "", "train"),
        ("volunteers/08F/sa1", "08F", "", "test"),
    ]
    assert all(clip.path.is_file() for clip in clips)


def test_other_spellings_are_found_and_what_is_no_clip_is_not(tmp_path):
    folder = add(tmp_path, "volunteers/08f", "sa1").parent
    (folder / "SA2.MP4").touch()
    (folder / "SA2.TXT").write_text("Do not ask")
    (folder / "._sa1.mp4").touch()  # what macOS writes beside files
    (folder / "sx3.mp4").mkdir()
    found = [(clip.id, clip.text, clip.split) for clip in TcdTimit().clips(tmp_path)]
    assert found == [("volunteers/08f/SA2", "Do not ask", "test"), ("volunteers/08f/sa1", "", "test")]


def test_volunteers_are_held_out_as_people():
    held = {split: names.split() for split, names in VOLUNTEERS.items()}
    assert {split: len(names) for split, names in held.items()} == {"val": 4, "test": 17, "other": 3}
    assert len(set().union(*held.values())) == 24
    for split, names in held.items():
        assert {split_of("volunteers", name, f"sx{number}") for name in names for number in range(50)} == {split}
    assert {split_of("volunteers", "01M", f"sx{number}") for number in range(50)} == {"train"}


def test_lipspeakers_share_their_held_out_sentences():
    names = [f"sx{number}" for number in range(3, 453)]
    splits = [[split_of("lipspeakers", f"Lipspkr{number}", name) for name in names] for number in (1, 2, 3)]
    assert splits[0] == splits[1] == splits[2]
    assert [name for name, split in zip(names, splits[0], strict=True) if split != "train"][:4] == [
        "sx6", "sx44", "sx67", "sx73",
    ]  # fmt: skip
    assert (splits[0].count("val"), splits[0].count("test")) == (25, 22)
    assert split_of("lipspeakers", "Lipspkr1", "SX6") == split_of("lipspeakers", "Lipspkr1", "sx6")


@pytest.mark.parametrize("text", ["She had your  suit.\n", "0 46797 She had your suit."])
def test_words(tmp_path, text):
    assert sentence(add(tmp_path, "01M", "sa1", text)) == "She had your suit."


def test_words_of_files_in_capitals(tmp_path):
    path = add(tmp_path, "01M", "sa1")
    assert sentence(path) == ""
    path.with_name("SA1.txt").write_text("0 46797 She had")
    assert sentence(path) == "She had"


@pytest.mark.parametrize("change", [("/", "/"), ("/", "\\"), (".rec", ".mp4")])
def test_phonemes(tmp_path, change):
    path = tmp_path / "volunteer_labelfiles.mlf"
    assert phonemes(path) == {}
    path.write_text(LABELS.format(part="volunteers", speaker="01M").replace(*change))
    assert phonemes(path) == {("01M", "sx301"): "w iy", ("01M", "sa1"): "sh"}


def test_label_files_without_clips_are_refused(tmp_path):
    (tmp_path / "some.mlf").write_text("#!MLF!#\n0 10 sh\n")
    with pytest.raises(V2SError, match="some.mlf has no line such as"):
        phonemes(tmp_path / "some.mlf")


def test_phonemes_stand_in_for_words_of_a_whole_part_only(tmp_path):
    for part, speaker, file in (("lipspeakers", "Lipspkr2", "lipspeaker"), ("volunteers", "01M", "volunteer")):
        add(tmp_path, f"{part}/{speaker}", "sx301")
        add(tmp_path, f"{part}/{speaker}", "sa1", "She had" if part == "volunteers" else None)
        (tmp_path / f"{file}_labelfiles.mlf").write_text(LABELS.format(part=part, speaker=speaker))
    assert {clip.id: clip.text for clip in TcdTimit().clips(tmp_path)} == {
        "lipspeakers/Lipspkr2/sa1": "sh",
        "lipspeakers/Lipspkr2/sx301": "w iy",
        "volunteers/01M/sa1": "She had",
        "volunteers/01M/sx301": "",
    }


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(V2SError, match="none of TCD-TIMIT's folders lipspeakers, volunteers; --source must name"):
        list(TcdTimit().clips(tmp_path))


def test_a_stand_in_is_prepared(tmp_path, talker_clip):
    add(tmp_path / "tcd", "lipspeakers/Lipspkr3", "sx6", "0 46797 Bin blue", talker_clip)
    summary = prepare(TcdTimit(), tmp_path / "tcd", tmp_path / "out")
    split = split_of("lipspeakers", "Lipspkr3", "sx6")
    record = ShardedDataset(tmp_path / "out", split).read(0)
    assert summary.clips == {split: 1} and not summary.skipped
    assert (record.id, record.speaker, record.text) == ("lipspeakers/Lipspkr3/sx6", "Lipspkr3", "Bin blue")
