import argparse

import pytest

from v2s_jax.synthesis.options import add_sampler_option


def parse(*words):
    parser = argparse.ArgumentParser()
    add_sampler_option(parser)
    return dict(parser.parse_args(words).sampler)


def test_sampling_and_prosody_are_set_alike():
    assert parse("--sampler", "evaluations=4", "--control", "pitch_shift=-2") == {"evaluations": 4, "pitch_shift": -2}
    assert parse() == {} and parse() == {}  # nothing is kept from one command to the next


@pytest.mark.parametrize("text", ["pitch_shift", "pitch_shift=high", "pitch_shift=nan", "pitch_shift=inf"])
def test_a_setting_is_a_finite_number(text, capsys):
    with pytest.raises(SystemExit):
        parse("--control", text)
    assert text in capsys.readouterr().err
