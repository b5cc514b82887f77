"""espeak-ng through the shared library of the PyPI package `espeakng-loader`: text to samples and timed phonemes.

Structures and constants follow espeak-ng's public header `speak_lib.h` (version 1.52). The library keeps one global
state for a process, so calls go through one lock, and it is loaded afresh for every utterance (3 ms): its phase,
flutter and noise generators outlive even espeak_Terminate, and the same sentence would not sound the same twice.
"""

import _ctypes
import ctypes
import dataclasses
import threading

import numpy as np

from v2s_jax.errors import V2SError

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the callback runs inside espeak_Synth
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000  # espeakINITIALIZE_*
_WORD, _PHONEME = 1, 7  # espeak_EVENT_TYPE
_RATE, _VOLUME, _PITCH, _RANGE, _WORDGAP = 1, 2, 3, 4, 7  # espeak_PARAMETER
_UTF8, _PHONEME_INPUT = 0x01, 0x100  # espeakCHARS_UTF8, espeakPHONEMES
_LOCK = threading.Lock()


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclasses.dataclass(frozen=True)
class Voice:
    """How espeak speaks: `name` is accent plus variant (`gmw/en-US+f2`), pitch and range 0-99, rate in words/min."""

    name: str
    pitch: int = 50
    pitch_range: int = 50
    rate: int = 160
    word_gap: int = 0  # pause between words in units of 10 ms


@dataclasses.dataclass(frozen=True)
class Spoken:
    """An utterance: samples in [-1, 1] and its events, times in seconds from the first sample.

    Attributes:
      wave: float32 [n] at `sample_rate` Hz.
      sample_rate: of the synthesizer (22050).
      phonemes: (start, espeak mnemonic); a phoneme lasts until the next one starts, `_:` and the like are pauses.
      words: (start, index of the word's first character in the text).
    """

    wave: np.ndarray
    sample_rate: int
    phonemes: list[tuple[float, str]]
    words: list[tuple[float, int]]


def speak(text: str, voice: Voice) -> Spoken:
    """Synthesizes `text`; the same text and voice give the same samples in any process.

    Args:
      text: English words; phonemes in espeak's mnemonics stand between `[[` and `]]`.
      voice: who speaks.

    Raises:
      V2SError: the `talker` extra is not installed, or espeak does not know the voice.
    """
    with _LOCK:
        library, sample_rate = _start()
        try:
            return _synthesize(library, sample_rate, text, voice)
        finally:
            library.espeak_Terminate()
            _unload(library)


def _start() -> tuple[ctypes.CDLL, int]:
    """Loads and initialises the library: it and its sample rate in Hz."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise V2SError("the talker corpus needs espeak-ng: install it with `pip install 'v2s-jax[talker]'`.") from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
    if rate <= 0:
        raise V2SError(f"espeak-ng could not start from {data.decode()}: reinstall the package espeakng-loader.")
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    return library, rate


def _unload(library: ctypes.CDLL) -> None:
    """Drops the library with all it remembers; ctypes has no public call for that."""
    if hasattr(_ctypes, "dlclose"):
        _ctypes.dlclose(library._handle)
    else:
        _ctypes.FreeLibrary(library._handle)  # type: ignore[attr-defined]  # Windows


def _synthesize(library: ctypes.CDLL, sample_rate: int, text: str, voice: Voice) -> Spoken:
    """Runs one espeak_Synth on a started library and gathers what its callback hands over."""
    chunks: list[np.ndarray] = []
    phonemes: list[tuple[float, str]] = []
    words: list[tuple[float, int]] = []

    def collect(samples, count, events) -> int:
        if samples and count:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type:
            event = events[index]
            seconds = event.audio_position / 1000
            if event.type == _PHONEME:
                phonemes.append((seconds, event.id.string.decode()))
            elif event.type == _WORD:
                words.append((seconds, event.text_position - 1))
            index += 1
        return 0

    callback = _Callback(collect)  # held in a name: espeak keeps only the bare pointer
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise V2SError(f"espeak-ng has no voice {voice.name!r}: name an accent it carries, such as gmw/en-US+f2.")
    settings = (_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range), (_WORDGAP, voice.word_gap)
    for parameter, value in settings:
        library.espeak_SetParameter(parameter, value, 0)
    encoded = text.encode()
    library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 0, 0, _UTF8 | _PHONEME_INPUT, None, None)
    wave = np.concatenate(chunks) if chunks else np.zeros(0, np.int16)
    return Spoken((wave / 32768).astype(np.float32), sample_rate, phonemes, words)
