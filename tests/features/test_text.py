from hypothesis import given
from hypothesis import strategies as st

from v2s_jax.features.text import ALPHABET, characters, normalize


def test_normalize():
    assert normalize("Bin blue, at F-two NOW!") == ["bin", "blue", "at", "f", "two", "now"]
    assert normalize("Don\u2019t say 'so'") == ["don't", "say", "so"]
    assert normalize(" \n") == []


def test_characters_by_hand():
    assert characters("Ab, 1!").tolist() == [3, 4, 1, 30]
    assert characters("Éa'b").tolist() == [3, 2, 4]
    assert len(characters("?!")) == 0


@given(st.text())
def test_characters_spell_the_normalised_text_without_padding(text):
    codes = characters(text)
    assert 0 not in codes
    spelled = "".join(ALPHABET[code] for code in codes)
    assert spelled == "".join(c for c in " ".join(normalize(text)) if c in ALPHABET[1:])
