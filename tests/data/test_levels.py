import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from v2s_jax.data.levels import look_up, measure
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError
from v2s_jax.synthesis.defaults import synthesis_config
from v2s_jax.synthesis.network import Face
from v2s_jax.synthesis.wholes import Seen

LEVELS = (120.0, 160.0, 20.0, 30.0)


def crops(mean, deviation, frames=4, seed=0):
    noise = np.random.default_rng(seed).normal(mean, deviation, (frames, 96, 96))
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


def test_a_clip_as_those_of_training_stays_as_it_is():
    assert look_up(crops(140, 25), LEVELS) is None
    assert look_up(crops(10, 2), ()) is None
    assert look_up(np.zeros((0, 96, 96), np.uint8), LEVELS) is None


@pytest.mark.parametrize(
    ("mean", "deviation", "wanted"),
    [(60, 12, (120, 20)), (140, 10, (140, 20)), (180, 25, (160, 25)), (100, 40, (120, 30))],
)
def test_others_go_to_the_nearest_that_training_knew(mean, deviation, wanted):
    mouth = crops(mean, deviation)
    found = look_up(mouth, LEVELS)[mouth]
    assert (found.mean(), found.std()) == pytest.approx(wanted, rel=0.03)


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 60), st.integers(0, 3))
def test_darker_never_becomes_lighter_than_what_was_lighter(mean, deviation, seed):
    grey = look_up(crops(mean, deviation, 1, seed), LEVELS)
    assert grey is None or (np.diff(grey.astype(int)) >= 0).all()


def test_long_clips_are_looked_at_as_a_whole():
    mouth = np.concatenate([crops(40, 10, 1100), crops(80, 10, 1100, 1)])
    found = look_up(mouth, LEVELS)[mouth]
    assert found.mean() == pytest.approx(120, abs=1)
    assert found[:1100].mean() < found[1100:].mean() - 10


def test_every_clip_of_the_data_that_was_measured_is_known(talker_data):
    dataset = ShardedDataset(talker_data, "train")
    levels = measure(dataset, margin=0.01)
    assert all(look_up(dataset.read(at, ("mouth",)).mouth, levels) is None for at in range(len(dataset)))
    assert look_up((dataset.read(0, ("mouth",)).mouth // 4), levels) is not None
    narrow = measure(dataset, clips=1, margin=0.0)
    assert narrow[0] == narrow[1] and levels[0] <= narrow[0] <= levels[1]


@pytest.mark.parametrize("levels", [[1.0], [160.0, 120.0, 20.0, 30.0], [0.0, 1.0, 0.0, 1.0], ["a", 1, 2, 3]])
def test_what_are_no_levels_is_refused(levels):
    with pytest.raises(V2SError, match="synthesis.levels = .*expected the least and greatest mean"):
        synthesis_config(ConfigDict({"synthesis": {"levels": levels}}))
    assert synthesis_config(ConfigDict({"synthesis": {"levels": list(LEVELS)}})).levels == LEVELS


def test_the_network_sees_a_clip_at_the_levels_it_knows():
    mouth = crops(60, 12, frames=30)
    settings = synthesis_config(ConfigDict({"synthesis": {"levels": list(LEVELS), "window": 24, "overlap": 8}}))
    seen = Seen(Face(mouth), "dark", settings, 4, 0.0)
    grey = look_up(mouth, LEVELS)
    for window in seen.windows:
        np.testing.assert_array_equal(seen.part(window).mouth, grey[mouth[window.start : window.stop]])
    settings.levels = ()
    np.testing.assert_array_equal(Seen(Face(mouth), "dark", settings, 4, 0.0).part(window).mouth, mouth[window.start :])
