"""GRID's sentence grammar: six words, one of each slot, and the six-letter code that names a clip.

Source: Cooke, Barker, Cunningham, Shao, "An audio-visual corpus for speech perception and automatic speech
recognition", JASA 120(5), 2006, table I.
"""

import numpy as np

from v2s_jax.errors import V2SError

SLOTS: dict[str, dict[str, str]] = {
    "command": {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    "colour": {"b": "blue", "g": "green", "r": "red", "w": "white"},
    "preposition": {"a": "at", "b": "by", "i": "in", "w": "with"},
    "letter": {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},  # no w: the only letter of several syllables
    "digit": {
        **{"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four"},
        **{"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
    },
    "adverb": {"a": "again", "n": "now", "p": "please", "s": "soon"},
}


def words_of(code: str) -> list[str]:
    """The six words a clip's name stands for: `bbaf2n` is bin blue at f two now.

    Raises:
      V2SError: `code` is not a sentence of the grammar.
    """
    if not is_code(code):
        raise V2SError(f"{code!r} is no GRID sentence code: expected six characters such as bbaf2n.")
    return [slot[key] for key, slot in zip(code, SLOTS.values(), strict=True)]


def code_of(words: list[str]) -> str:
    """The code of six words, the inverse of `words_of`.

    Raises:
      V2SError: the words are not a sentence of the grammar.
    """
    if not is_sentence(words):
        raise V2SError(f"{' '.join(words)!r} is no GRID sentence: expected words such as 'bin blue at f two now'.")
    keys = [{word: key for key, word in slot.items()} for slot in SLOTS.values()]
    return "".join(slot[word] for word, slot in zip(words, keys, strict=True))


def is_sentence(words: list[str]) -> bool:
    """Whether the words are a sentence of the grammar."""
    slots = SLOTS.values()
    return len(words) == len(slots) and all(word in slot.values() for word, slot in zip(words, slots, strict=True))


def is_code(text: str) -> bool:
    """Whether `text` names a sentence of the grammar."""
    return len(text) == len(SLOTS) and all(key in slot for key, slot in zip(text, SLOTS.values(), strict=True))


def random_code(rng: np.random.Generator) -> str:
    """A code drawn evenly from the 64 000 sentences of the grammar."""
    return "".join(str(rng.choice(list(slot))) for slot in SLOTS.values())
