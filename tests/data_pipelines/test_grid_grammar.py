"""GRID's grammar: codes and words are two spellings of one sentence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.grid import grammar
from v2s_jax.errors import V2SError


@given(st.integers(0, 2**32))
def test_words_and_code_are_inverse(seed):
    code = grammar.random_code(np.random.default_rng(seed))
    assert grammar.is_code(code)
    assert grammar.code_of(grammar.words_of(code)) == code


def test_example_of_the_corpus():
    assert grammar.words_of("bbaf2n") == ["bin", "blue", "at", "f", "two", "now"]
    assert grammar.words_of("swwzzs") == ["set", "white", "with", "z", "zero", "soon"]


@pytest.mark.parametrize("code", ["", "bbaf2", "bbaw2n", "xbaf2n", "bbaf2nn", "free0001"])
def test_no_sentence_is_refused(code):
    assert not grammar.is_code(code)
    with pytest.raises(V2SError, match="GRID sentence"):
        grammar.words_of(code)


def test_other_words_are_refused():
    with pytest.raises(V2SError, match="GRID sentence"):
        grammar.code_of(["bin", "blue", "at", "w", "two", "now"])
