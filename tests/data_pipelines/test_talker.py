"""Clips of the synthetic talker: the same every time, in step with their sound, in GRID's layout."""

import itertools

from data_pipelines.grid import grammar
from data_pipelines.talker.render import perform
from v2s_jax.media.video import probe


def first_frames(identity, sentence="bbaf2n", seed=0, count=3):
    return [frame.tobytes() for frame in itertools.islice(perform(identity, sentence, seed).frames, count)]


def test_same_seed_same_bytes():
    assert first_frames(2) == first_frames(2)
    assert perform(2, "bbaf2n").utterance.wave.tobytes() == perform(2, "bbaf2n").utterance.wave.tobytes()


def test_seed_sentence_and_identity_change_the_clip():
    variants = [first_frames(2), first_frames(2, seed=1), first_frames(2, sentence="lgbs3p"), first_frames(3)]
    assert len({frames[0] for frames in variants}) == 4


def test_clip_is_three_seconds_with_sound(talker_clip):
    info = probe(talker_clip)
    assert (info.width, info.height, info.has_audio) == (360, 288, True)
    assert abs(info.duration - 3.0) < 0.05


def test_tree_has_grid_layout(talker_tree):
    clips = sorted(talker_tree.glob("t*/*.mp4"))
    assert len(clips) == 6
    assert sum(clip.stem.startswith("free") for clip in clips) == 2
    for clip in clips:
        align = talker_tree / "alignments" / clip.parent.name / f"{clip.stem}.align"
        rows = [line.split() for line in align.read_text().splitlines()]
        assert rows[0][2] == rows[-1][2] == "sil"
        assert all(int(a[1]) == int(b[0]) for a, b in itertools.pairwise(rows))
        words = [word for _, _, word in rows if word not in ("sil", "sp")]
        assert clip.stem.startswith("free") or words == grammar.words_of(clip.stem)
