"""The judge of words: pocketsphinx with its bundled US English model, held to a grammar or free."""

import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.errors import V2SError
from v2s_jax.features.text import normalize

# The sentences of the GRID corpus (Cooke et al., JASA 120(5), 2006, table I) in the JSpeech Grammar Format.
GRID_JSGF = """#JSGF V1.0;
grammar grid;
<command> = bin | lay | place | set;
<colour> = blue | green | red | white;
<preposition> = at | by | in | with;
<letter> = a | b | c | d | e | f | g | h | i | j | k | l | m | n | o | p | q | r | s | t | u | v | x | y | z;
<digit> = zero | one | two | three | four | five | six | seven | eight | nine;
<adverb> = again | now | please | soon;
public <sentence> = <command> <colour> <preposition> <letter> <digit> <adverb>;
"""


def grid_slots() -> list[frozenset[str]]:
    """The words allowed in each of the six places of a GRID sentence, read off the grammar."""
    rules = [line.split("=")[1] for line in GRID_JSGF.splitlines() if line.startswith("<")]
    return [frozenset(rule.strip(" ;").split(" | ")) for rule in rules]


def fitting_grammar(texts: Iterable[str]) -> str:
    """`grid` when every text is a GRID sentence, else `free`."""
    slots = grid_slots()
    words = [normalize(text) for text in texts]
    fits = all(len(w) == len(slots) and all(x in slot for x, slot in zip(w, slots, strict=True)) for w in words)
    return "grid" if words and fits else "free"


class Recognizer:
    """Turns a waveform into words. Every call stands alone: what was heard before has no influence."""

    def __init__(self, grammar: str):
        """Loads the acoustic model.

        Args:
            grammar: `grid`, `free` (the bundled trigram language model), or the path of a JSGF file.

        Raises:
            V2SError: the file is missing, is no grammar, or has a word that the dictionary lacks.
        """
        import pocketsphinx

        # cmn=batch: the mean is taken over the whole clip.
        # bestpath=no: with a grammar of a few words the second pass only adds errors (GRID s1: 12.7 against 10.5 %).
        options = {"samprate": SAMPLE_RATE, "loglevel": "FATAL", "cmn": "batch"}
        if grammar == "free":
            self._decoder = pocketsphinx.Decoder(**options)
            return
        text = GRID_JSGF if grammar == "grid" else _read_grammar(Path(grammar))
        self._decoder = pocketsphinx.Decoder(**options, lm=None, bestpath=False)
        try:
            self._decoder.add_jsgf_string("grammar", text.encode())
            self._decoder.activate_search("grammar")
        except (RuntimeError, ValueError, KeyError) as error:
            raise V2SError(
                f"{grammar}: expected a JSGF grammar with one public rule and words of the CMU dictionary, "
                f"which pocketsphinx refuses ({error}); check its syntax and its words"
            ) from error

    def __call__(self, wave: Float[np.ndarray, "n"]) -> list[str]:
        """Words heard in a mono waveform in [-1, 1] at 16 kHz; none when it is silent."""
        if not np.any(wave):
            return []
        samples = np.clip(np.rint(wave * 32767), -32768, 32767).astype("<i2").tobytes()
        self._decoder.reinit_feat()  # else the front end's estimates of level and noise outlive the clip
        self._decoder.start_utt()
        self._decoder.process_raw(samples, no_search=False, full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return normalize(heard.hypstr) if heard else []


@functools.cache
def recognizer(grammar: str) -> Recognizer:
    """One recogniser per grammar and process, since loading takes longer than a clip."""
    return Recognizer(grammar)


def _read_grammar(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise V2SError(f"{path}: expected grid, free or a JSGF grammar file; it cannot be read ({error})") from error
