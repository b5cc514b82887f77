"""Clips of the synthetic talker: the same every time, in step with their sound, in GRID's layout."""

import itertools
from pathlib import Path

import pytest

from data_pipelines.grid import grammar
from data_pipelines.talker.generate import align_text, generate, plan
from data_pipelines.talker.identities import HELD_OUT, N_IDENTITIES
from data_pipelines.talker.render import perform
from data_pipelines.talker.sentences import is_reserved
from v2s_jax.media.clip import load_clip
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


def test_face_tracker_sees_every_frame(talker_clip):
    clip = load_clip(talker_clip)
    assert clip.coverage == 1.0 and clip.n_faces == 1 and clip.mouth.shape == (75, 96, 96)


def test_generation_resumes_where_it_stopped(tmp_path):
    options = {"clips_per_identity": 2, "free_share": 0.0, "size": (180, 144)}
    generate(tmp_path, identities=(0,), workers=0, **options)
    first, second = sorted((tmp_path / "t00").glob("*.mp4"))
    kept = first.stat().st_mtime_ns
    align = tmp_path / "alignments" / "t00" / f"{second.stem}.align"
    expected = align.read_text()
    align.unlink()  # as if the run had been killed in the second clip
    assert generate(tmp_path, identities=(0,), workers=1, **options) == 2
    assert first.stat().st_mtime_ns == kept
    assert align.read_text() == expected
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("seed", [0, 7])
def test_plan_keeps_training_from_reserved_sentences(seed):
    jobs = plan(Path("corpus"), range(N_IDENTITIES), 20, seed, free_share=0.25)
    assert len(jobs) == len({job.clip for job in jobs}) == 20 * N_IDENTITIES
    for job in jobs:
        if job.clip_id.startswith("free"):
            continue
        assert is_reserved(job.sentence) == (job.identity in HELD_OUT)
    assert sum(job.clip_id.startswith("free") for job in jobs) == 5 * N_IDENTITIES


def test_alignment_text():
    words = [(0.5, 0.7, "bin"), (0.8, 1.0, "blue")]
    expected = "0 12500 sil\n12500 17500 bin\n17500 20000 sp\n20000 25000 blue\n25000 75000 sil\n"
    assert align_text(words, 3.0) == expected
