import pytest
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.synthesis.defaults import synthesis_config


def test_the_window_is_the_longest_seen_in_training():
    settings = synthesis_config(ConfigDict({"data": {"buckets": (50, 75)}}))
    assert (settings.window, settings.overlap, settings.fade) == (75, 25, 4)
    assert synthesis_config(ConfigDict()).window == 250


def test_the_model_decides():
    settings = synthesis_config(ConfigDict({"synthesis": {"window": 40, "griffin_lim_iterations": 8}}))
    assert (settings.window, settings.overlap, settings.griffin_lim_iterations) == (40, 13, 8)


@pytest.mark.parametrize(
    "section, sentence",
    [
        ({"windw": 40}, "synthesis.windw = 40"),
        ({"window": "long"}, "synthesis.window = 'long'"),
        ({"window": 10}, "0 < 2 fade <= overlap <= window"),
        ({"overlap": 400}, "0 < 2 fade <= overlap <= window"),
        ({"fade": 0}, "0 < 2 fade <= overlap <= window"),
        ({"window": -5}, "0 < 2 fade <= overlap <= window"),
        ({"contrast": 0.0}, "synthesis.contrast = 0.0; expected a number above 0"),
    ],
)
def test_sections_that_do_not_fit(section, sentence):
    with pytest.raises(V2SError, match=sentence):
        synthesis_config(ConfigDict({"synthesis": section}))
