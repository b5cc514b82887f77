"""The talkers' speech: deterministic, timed as it sounds, voices as different as the faces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.grid import grammar
from data_pipelines.talker.espeak import Voice, speak
from data_pipelines.talker.identities import N_IDENTITIES, identity
from data_pipelines.talker.sentences import FREE_SENTENCES, grid_code, is_reserved
from data_pipelines.talker.speech import utter
from data_pipelines.talker.visemes import shapes_of
from v2s_jax.errors import V2SError
from v2s_jax.features.pitch import pitch

SAMPLE_RATE = 16_000


def say(number, sentence="bbaf2n", seed=0):
    return utter(sentence, identity(number).voice, np.random.default_rng(seed))


def fundamental(wave):
    """Median F0 of the voiced frames, Hz."""
    f0 = pitch(wave)
    return np.median(f0[f0 > 0])


def test_samples_do_not_depend_on_what_was_said_before():
    voice = Voice("gmw/en-US+f2")
    before = speak("place red", voice)
    speak("something else entirely", Voice("gmw/en+m5", pitch=20))
    after = speak("place red", voice)
    assert before.wave.tobytes() == after.wave.tobytes()
    assert before.phonemes == after.phonemes


def test_unknown_voice_is_refused():
    with pytest.raises(V2SError, match="no voice"):
        speak("hello", Voice("gmw/nowhere"))


def test_voices_differ_and_go_with_the_person():
    f0 = {number: fundamental(say(number).wave) for number in range(0, N_IDENTITIES, 3)}
    women = [value for number, value in f0.items() if identity(number).female]
    men = [value for number, value in f0.items() if not identity(number).female]
    assert min(women) > max(men)
    assert len({say(number).wave.tobytes() for number in range(N_IDENTITIES)}) == N_IDENTITIES


def test_larger_faces_speak_lower():
    people = [identity(number) for number in range(N_IDENTITIES)]
    for female in (False, True):
        width, pitch = np.array([(p.face_width, p.voice.pitch) for p in people if p.female == female]).T
        assert np.corrcoef(width, pitch)[0, 1] < -0.7


@pytest.mark.parametrize("number", [0, 5, 13, 30])
def test_words_lie_where_the_sound_is(number):
    spoken = say(number)
    assert [word for _, _, word in spoken.words] == grammar.words_of("bbaf2n")
    first, last = spoken.words[0][0], spoken.words[-1][1]
    power = spoken.wave**2
    inside = power[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
    assert inside.sum() > 0.995 * power.sum()
    for start, end, _ in spoken.words:
        assert power[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)].mean() > 0.05 * inside.mean()


def test_vowels_are_loud_and_pauses_silent():
    spoken = say(4, "lgwp9s")
    level = {"vowel": [], "pause": []}
    for phoneme in spoken.phonemes:
        segment = spoken.wave[round(phoneme.start * SAMPLE_RATE) : round(phoneme.end * SAMPLE_RATE)]
        kind = "vowel" if phoneme.stress == 2 else "pause" if phoneme.symbol.startswith("_") else None
        if kind and len(segment):
            level[kind].append(np.sqrt(np.mean(segment**2)))
    assert np.median(level["vowel"]) > 20 * np.median(level["pause"])


def test_grid_sentences_fill_three_seconds_in_every_voice():
    for number in range(N_IDENTITIES):
        spoken = say(number, "pgwzzs" if number % 2 else "pgwx7p")
        assert len(spoken.wave) == 3 * SAMPLE_RATE and spoken.words[-1][1] < 3.0


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(FREE_SENTENCES), st.integers(0, N_IDENTITIES - 1))
def test_every_word_of_free_sentences_has_its_time(sentence, number):
    spoken = say(number, sentence)
    assert [word for _, _, word in spoken.words] == spoken.text.split()
    times = [time for start, end, _ in spoken.words for time in (start, end)]
    assert times == sorted(times) and times[-1] < spoken.duration
    assert all(end > start for start, end, _ in spoken.words)
    assert len(spoken.wave) == round(spoken.duration * SAMPLE_RATE) and len(spoken.wave) % 640 == 0


def test_every_phoneme_of_the_corpus_has_a_mouth():
    text = " ".join((*FREE_SENTENCES, *(word for slot in grammar.SLOTS.values() for word in slot.values())))
    for voice in (identity(0).voice, identity(4).voice):
        assert all(shapes_of(symbol.lstrip("',%=")) for _, symbol in speak(text, voice).phonemes if symbol != ";")


def test_reserved_sentences_stay_reserved():
    rng = np.random.default_rng(0)
    assert all(is_reserved(grid_code(rng, held_out=True)) for _ in range(20))
    assert not any(is_reserved(grid_code(rng, held_out=False)) for _ in range(200))
    pairs = [f"bba{letter}{digit}n" for letter in grammar.SLOTS["letter"] for digit in grammar.SLOTS["digit"]]
    assert sum(map(is_reserved, pairs)) == len(pairs) // 10


def test_there_are_enough_free_sentences():
    assert len(set(FREE_SENTENCES)) >= 60
