"""Texts as words to compare and as characters to predict."""

import re

import numpy as np
from jaxtyping import Int

# Code 0 stands for padding and for the blank of connectionist temporal classification.
ALPHABET = "\0 'abcdefghijklmnopqrstuvwxyz0123456789"
_CODES = {character: code for code, character in enumerate(ALPHABET)}


def normalize(text: str) -> list[str]:
    """Lower-case words without punctuation (inner apostrophes stay): what recogniser and transcript are compared in."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("\u2019", "'"))


def characters(text: str) -> Int[np.ndarray, "n"]:
    """Codes of the normalised text's characters, words divided by spaces; letters outside `ALPHABET` are left out."""
    return np.array([_CODES[c] for c in " ".join(normalize(text)) if c in _CODES], np.int32)
