import numpy as np
import pytest

from v2s_jax.data.loader import LoaderConfig
from v2s_jax.data.throughput import Throughput, decode, measure, pad
from v2s_jax.media.clip import load_clip


def test_the_baseline_decodes_the_whole_clip(talker_clip):
    picture, sound = decode(talker_clip)
    clip = load_clip(talker_clip)
    assert picture.shape == (len(clip.mouth), 88, 88) and picture.std() > 10
    assert len(sound) == pytest.approx(len(clip.audio), rel=0.05)
    assert np.corrcoef(sound[:16000], clip.audio[: min(16000, len(sound))])[0, 1] > 0.3


def test_both_are_measured(dataset_dir, talker_clip):
    found = measure(dataset_dir, "train", [talker_clip], LoaderConfig(batch_size=2), seconds=0.05)
    assert found.shards > 0 and found.video > 0
    assert Throughput(30.0, 2.0).ratio == 15


def test_padding_is_zero():
    padded = pad([np.ones(3), np.ones(1)])
    np.testing.assert_array_equal(padded, [[1, 1, 1], [1, 0, 0]])
