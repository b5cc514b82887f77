import re

from v2s_jax.progress import Along, progress, progress_line, watched


def test_a_long_recording_says_now_and_then_how_far_it_is(capsys):
    along = Along("talk.mp4", every=0.0)
    assert list(watched(range(4000), along, "speaking", 4000)) == list(range(4000))
    *_, last = lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4000 and last == "talk.mp4: speaking, at 160 of 160 s"


def test_a_short_one_says_nothing_and_nobody_says_much(capsys):
    list(watched(range(100), Along("talk.mp4", every=0.0), "speaking", 100))
    list(watched(range(4000), Along("talk.mp4"), "speaking", 4000))  # in less than ten seconds
    assert list(watched("abc", None, "speaking", 4000)) == ["a", "b", "c"]
    assert not capsys.readouterr().err


def test_items_come_unchanged_with_a_line_at_the_end(capsys):
    assert list(progress(iter("abc"), 3)) == ["a", "b", "c"]
    assert re.fullmatch(r"3/3 clips, \S+ clips/s\n", capsys.readouterr().err)
    assert progress_line(12, 40, 4.0, "clips") == "12/40 clips, 3 clips/s, 9 s left"
