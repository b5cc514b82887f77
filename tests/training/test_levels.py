import jax
import numpy as np
from ml_collections import ConfigDict

from tests.training.toy import Toy
from v2s_jax.data.levels import look_up, measure
from v2s_jax.data.loader import Loader, LoaderConfig
from v2s_jax.models.rngs import Rngs
from v2s_jax.synthesis.defaults import synthesis_config
from v2s_jax.training.levels import with_levels


def loader(path):
    return Loader(path, "train", LoaderConfig(batch_size=2), fields=("mouth",))


def test_a_run_notes_the_levels_of_its_clips(talker_data):
    system, training = Toy(Rngs(jax.random.key(0))), loader(talker_data)
    config = ConfigDict({"data": {"buckets": (75,)}, "synthesis": {"contrast": 1.2}}).lock()
    known = with_levels(config, system, training)
    assert known.synthesis.contrast == 1.2 and "levels" not in config.synthesis
    assert list(known.synthesis.levels) == measure(training.dataset)
    mouth = training.dataset.read(0, ("mouth",)).mouth
    assert look_up(mouth, synthesis_config(known).levels) is None
    assert look_up(mouth // 8, synthesis_config(known).levels) is not None


def test_only_of_those_it_learns_from(talker_data):
    training = loader(talker_data)
    one = measure(training.dataset, margin=0.0, indices=np.array([3]))
    assert one[0] == one[1] and one != measure(training.dataset, margin=0.0)


def test_what_a_config_says_stays(talker_data):
    config = ConfigDict({"synthesis": {"levels": ()}})
    assert with_levels(config, Toy(Rngs(jax.random.key(0))), loader(talker_data)) is config


def test_a_system_that_does_not_speak_has_none(talker_data):
    class Listener(Toy):
        kind = "embedding"

    config = ConfigDict({})
    assert with_levels(config, Listener(Rngs(jax.random.key(0))), loader(talker_data)) is config
