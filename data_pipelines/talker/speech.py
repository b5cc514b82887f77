"""A sentence on a clip's timeline: waveform, words and phonemes, silence at both ends."""

import dataclasses
import math
import re

import numpy as np

from data_pipelines.grid import grammar
from data_pipelines.talker.espeak import Spoken, Voice, speak
from data_pipelines.talker.visemes import SILENCE, TimedPhoneme
from v2s_jax.constants import SAMPLE_RATE

GRID_SECONDS = 3.0  # length of a clip of a GRID sentence
_CLOSURE = (
    0.045  # seconds of silence that espeak puts before it reports a stop consonant, whose event marks the release
)
_LOUDNESS = 0.08  # root mean square of the speech: voices differ by 12 dB, recordings in one studio do not
_ROOM = 0.001  # root mean square of the room's noise; recognisers stumble over digital silence
_STOPS = frozenset(("p", "b", "t", "d", "k", "g", "tS", "dZ"))
# Letter names in espeak's mnemonics; spelled out because espeak reads a lone "a" as the article.
_LETTERS = {
    **{"a": "'eI", "b": "b'i:", "c": "s'i:", "d": "d'i:", "e": "'i:", "f": "'Ef", "g": "dZ'i:", "h": "'eItS"},
    **{"i": "'aI", "j": "dZ'eI", "k": "k'eI", "l": "'El", "m": "'Em", "n": "'En", "o": "'oU", "p": "p'i:"},
    **{"q": "kj'u:", "r": "'A@", "s": "'Es", "t": "t'i:", "u": "j'u:", "v": "v'i:", "x": "'Eks", "y": "w'aI"},
    "z": "z'Ed",
}


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A spoken sentence on a clip's timeline.

    Attributes:
      text: the words, separated by blanks.
      wave: float32 [n] at 16 kHz, as long as the clip.
      words: (start, end, word) in seconds.
      phonemes: of the whole clip, silence included.
      duration: of the clip in seconds.
    """

    text: str
    wave: np.ndarray
    words: list[tuple[float, float, str]]
    phonemes: list[TimedPhoneme]
    duration: float


def utter(sentence: str, voice: Voice, rng: np.random.Generator) -> Utterance:
    """Speaks a sentence: a GRID code (`bbaf2n`), the six words it stands for, or any English text.

    A GRID sentence fills a clip of 3 s, as the corpus has it; other text gets about half a second at either end.
    """
    code = grammar.is_code(sentence)
    words = grammar.words_of(sentence) if code else re.findall(r"[a-z']+", sentence.lower())
    is_grid = code or grammar.is_sentence(words)
    text = " ".join(f"[[{_LETTERS[word]}]]" if is_grid and place == 3 else word for place, word in enumerate(words))
    spoken = speak(text if is_grid else _with_pauses(sentence), voice)
    length = len(spoken.wave) / spoken.sample_rate
    lead = float(rng.uniform(0.25, 0.6))
    duration = lead + length + float(rng.uniform(0.3, 0.5))
    if is_grid:
        duration = GRID_SECONDS
        lead = min(lead, max(0.1, (GRID_SECONDS - length) / 2))
    duration = math.ceil(duration * 25 - 1e-6) / 25
    source = text if is_grid else _with_pauses(sentence)
    return Utterance(
        text=" ".join(words),
        wave=_place(spoken, lead, duration, rng),
        words=_words(spoken, source, words, lead),
        phonemes=_phonemes(spoken, lead, duration),
        duration=duration,
    )


def _with_pauses(sentence: str) -> str:
    """Free text as espeak gets it: letters and the punctuation that it pauses at."""
    return re.sub(r"[^a-z' ,.]", " ", sentence.lower()).strip()


def _place(spoken: Spoken, lead: float, duration: float, rng: np.random.Generator) -> np.ndarray:
    """The utterance at 16 kHz, `lead` seconds into a track of a quiet room."""
    import soxr

    wave = soxr.resample(spoken.wave, spoken.sample_rate, SAMPLE_RATE)
    track = _ROOM * rng.standard_normal(round(duration * SAMPLE_RATE), np.float32)
    start = round(lead * SAMPLE_RATE)
    wave = wave[: len(track) - start]
    track[start : start + len(wave)] += wave * min(_LOUDNESS / np.sqrt(np.mean(wave**2)), 0.95 / np.abs(wave).max())
    return track


def _words(spoken: Spoken, source: str, words: list[str], lead: float) -> list[tuple[float, float, str]]:
    """Times of the words: espeak reports where each begins in text and time, and merges some (`of the`) into one."""
    positions = [match.start() for match in re.finditer(r"\[\[.*?\]\]|[a-z']+", source)]
    events = dict((at, seconds) for seconds, at in reversed(spoken.words))
    known = [(index, events[at]) for index, at in enumerate(positions) if at in events]
    last = len(spoken.wave) / spoken.sample_rate
    indices, seconds = np.array([*known, (len(words), last)]).T
    starts = np.interp(np.arange(len(words) + 1), indices, seconds)
    pauses = [seconds for seconds, symbol in spoken.phonemes if symbol.startswith(SILENCE)]
    timed = []
    for word, start, end in zip(words, starts[:-1], starts[1:], strict=True):
        end = min([end, *(pause for pause in pauses if start < pause < end)])
        timed.append((lead + float(start), lead + float(end), word))
    return timed


def _phonemes(spoken: Spoken, lead: float, duration: float) -> list[TimedPhoneme]:
    """Phonemes on the clip's timeline; a stop begins with its closure, before espeak's event for its release."""
    starts, symbols, stresses = [0.0], [SILENCE], [0]
    for seconds, mnemonic in spoken.phonemes:
        symbol = mnemonic.lstrip("',%=")
        if symbol == ";":  # marks the phoneme before it as palatal, has no length of its own
            continue
        start = lead + seconds - (_CLOSURE if symbol in _STOPS else 0.0)
        starts.append(max(start, starts[-1] + 0.01))
        symbols.append(symbol)
        stresses.append(2 if mnemonic.startswith("'") else 1 if mnemonic.startswith(",") else 0)
    ends = [*starts[1:], max(duration, starts[-1])]
    rows = zip(symbols, starts, ends, stresses, strict=True)
    return [TimedPhoneme(symbol, start, end, stress) for symbol, start, end, stress in rows]
