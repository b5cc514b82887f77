import numpy as np
import pytest

from data_pipelines.grid.grammar import SLOTS
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.recognizer import Recognizer, fitting_grammar, grid_slots

ONE_RULE = "#JSGF V1.0;\ngrammar test;\npublic <s> = {};\n"


def babble(seed=0):
    """Not speech, but enough for a grammar to be forced onto."""
    t = np.arange(32000) / 16000
    rng = np.random.default_rng(seed)
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 30))
    return (0.1 * buzz * (1 + np.sin(2 * np.pi * 4 * t)) + 0.01 * rng.normal(size=32000)).astype(np.float32)


def test_the_grammar_is_the_corpus_pipelines():
    assert grid_slots() == [frozenset(slot.values()) for slot in SLOTS.values()]


def test_fitting_grammar():
    assert fitting_grammar(["bin blue at f two now", "Set white with z nine soon."]) == "grid"
    assert fitting_grammar(["bin blue at f two now", "good morning"]) == "free"
    assert fitting_grammar(["bin blue at f two"]) == "free"
    assert fitting_grammar([]) == "free"


def test_what_is_heard_keeps_to_the_grammar_and_does_not_depend_on_the_past():
    recognizer = Recognizer("grid")
    heard = recognizer(babble())
    assert all(word in slot for word, slot in zip(heard, grid_slots(), strict=True))
    recognizer(babble(1)[:9000] * 0.1)
    assert recognizer(babble()) == heard


def test_silence_has_no_words():
    recognizer = Recognizer("grid")
    assert recognizer(np.zeros(16000, np.float32)) == [] == recognizer(np.zeros(0, np.float32))


def test_a_grammar_file(tmp_path):
    path = tmp_path / "yes.jsgf"
    path.write_text(ONE_RULE.format("yes | no | (yes no)"))
    choices = [["yes"], ["no"], ["yes", "no"], []]
    assert Recognizer(str(path))(babble()) in choices


@pytest.mark.parametrize("text", ["hello", ONE_RULE.format("xqzzy | no"), ONE_RULE.format("(no")])
def test_a_bad_grammar_file_is_named(tmp_path, text):
    path = tmp_path / "bad.jsgf"
    path.write_text(text)
    with pytest.raises(V2SError, match=r"bad\.jsgf: expected a JSGF grammar"):
        Recognizer(str(path))


def test_a_missing_grammar_file_is_named(tmp_path):
    with pytest.raises(V2SError, match="expected grid, free or a JSGF grammar file"):
        Recognizer(str(tmp_path / "none.jsgf"))
