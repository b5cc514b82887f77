"""A long recording by the real command: a third of a minute of the hour that `hour.py` can do."""

import pytest

from tests.synthesis.hour import measure
from v2s_jax.synthesis.demo import shipped_clip


@pytest.mark.slow
def test_joints_of_windows_and_chunks_are_like_other_places(model, tmp_path):
    figures = dict(measure(tmp_path, [0.36], [shipped_clip()[0]], str(model)))
    windows, chunks = figures["windows"], figures["chunks"]
    assert windows["joints"] >= 8 and chunks["joints"] == 1
    # Of a few joints only: `hour.py` has more.
    assert windows["step at joints"] < 1.5 * windows["step elsewhere"]
    assert chunks["error at joints"] < 1.5 * chunks["error elsewhere"]
    assert chunks["largest step at joints"] < 1.5 * chunks["largest step elsewhere"]
