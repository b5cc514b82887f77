import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2s_jax.evaluation.words import align

WORDS = st.lists(st.sampled_from("abcd"), max_size=7)


@pytest.mark.parametrize(
    "said, heard, errors, steps",
    [
        ("a b c", "a b c", 0, [("a", "a"), ("b", "b"), ("c", "c")]),
        ("a b c", "a x c", 1, [("a", "a"), ("b", "x"), ("c", "c")]),
        ("a b c", "a c", 1, [("a", "a"), ("b", None), ("c", "c")]),
        ("a c", "a b c", 1, [("a", "a"), (None, "b"), ("c", "c")]),
        ("a b", "", 2, [("a", None), ("b", None)]),
        ("", "a", 1, [(None, "a")]),
        ("a b c d", "b c d e", 2, [("a", None), ("b", "b"), ("c", "c"), ("d", "d"), (None, "e")]),
    ],
)
def test_hand_made_alignments(said, heard, errors, steps):
    alignment = align(said.split(), heard.split())
    assert alignment.errors == errors
    assert list(alignment.steps) == steps


def test_rate():
    assert align("a b c d".split(), "a x c".split()).rate == 0.5
    assert align(["a"], list("abc")).rate == 2
    assert math.isnan(align([], []).rate)


@given(WORDS, WORDS)
def test_the_steps_are_a_path_and_as_costly_as_counted(said, heard):
    alignment = align(said, heard)
    assert [a for a, _ in alignment.steps if a is not None] == said
    assert [b for _, b in alignment.steps if b is not None] == heard
    assert sum(a != b for a, b in alignment.steps) == alignment.errors
    assert abs(len(said) - len(heard)) <= alignment.errors <= max(len(said), len(heard))
    assert alignment.errors == align(heard, said).errors
