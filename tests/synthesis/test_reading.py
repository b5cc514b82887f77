from pathlib import Path

import pytest

from v2s_jax.synthesis import reading
from v2s_jax.synthesis.jobs import Job


def test_long_recordings_are_given_four_times_their_length(talker_clip, monkeypatch):
    assert reading.patience(Job(talker_clip, "a")) == 3600
    assert reading.patience(Job(Path("gone.mp4"), "a")) == reading.patience(Job(Path("set"), "a", "train")) == 3600
    monkeypatch.setattr(reading, "_HOUR", 1.0)
    assert reading.patience(Job(talker_clip, "a")) == pytest.approx(12, abs=0.2)
