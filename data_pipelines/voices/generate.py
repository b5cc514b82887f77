"""Synthetic voices: espeak's variants and accents at many pitches and tempos, with smaller and larger heads."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines.talker.espeak import Voice
from data_pipelines.talker.sentences import FREE_SENTENCES, grid_code
from data_pipelines.talker.speech import utter
from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.data.codecs import encode_audio
from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing
from v2s_jax.progress import progress

N_VOICES = 256
_FREE_SHARE = 0.4  # of sentences that are plain English instead of GRID's
_ACCENTS = (
    *("gmw/en-US", "gmw/en", "gmw/en-029", "gmw/en-US-nyc", "gmw/en-GB-scotland", "gmw/en-GB-x-gbclan"),
    *("gmw/en-GB-x-gbcwmd", "gmw/en-GB-x-rp"),
)
# espeak's variants without the whispering, robotic and monstrous ones.
_HIGH = (
    *("f1", "f2", "f3", "f4", "f5", "Alicia", "Andrea", "Annie", "anika", "aunty", "belinda", "grandma", "linda"),
    *("shelby", "steph", "steph2", "steph3", "zac", "Nguyen"),
)
_LOW = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "Alex", "Andy", "Denis", "Diogo", "Gene", "Gene2", "Henrique"),
    *("Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Reed", "RicishayMax", "RicishayMax2", "Storm"),
    *("adam", "announcer", "antonio", "benjamin", "boris", "david", "ed", "edward", "edward2", "grandpa", "gustave"),
    *("ian", "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "klatt", "klatt2", "klatt3", "klatt6"),
    *("marcelo", "max", "michel", "miguel", "mike2", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert"),
    *("sandro", "travis", "victor"),
)


@dataclasses.dataclass(frozen=True)
class Identity:
    """A voice, and how much higher than espeak's its resonances and pitch lie: above 1, as of a smaller head."""

    voice: Voice
    height: float


def identity(number: int) -> Identity:
    """The voice of a number; even ones are high, odd ones low."""
    rng = np.random.default_rng([733, number])
    variants = _LOW if number % 2 else _HIGH
    variant, accent = variants[number // 2 % len(variants)], _ACCENTS[int(rng.integers(len(_ACCENTS)))]
    voice = Voice(
        name=f"{accent}+{variant}",
        pitch=int(rng.integers(25, 76)),
        pitch_range=int(rng.integers(30, 66)),
        rate=int(rng.integers(135, 181)),
    )
    return Identity(voice, float(rng.uniform(0.9, 1.12)))


def generate(out: Path, voices: Sequence[int], clips_per_voice: int, jobs: int = 1) -> None:
    """Writes `<voice>/<sentence>.flac` and `.txt`; the same arguments give the same files, and whole ones stay.

    Args:
        out: the corpus's folder.
        voices: numbers.
        clips_per_voice: clips of each.
        jobs: processes.

    Raises:
        V2SError: the `talker` extra is missing, or a file cannot be written.
    """
    make = functools.partial(_make_voice, out=out, clips=clips_per_voice)
    for _, result in progress(run_isolated(make, voices, max(1, min(jobs, len(voices)))), len(voices), "voices"):
        if isinstance(result, Failure):
            raise V2SError(result.reason)


def _make_voice(number: int, out: Path, clips: int) -> None:
    folder = out / f"v{number:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, sentence in sentences(number, clips).items():
        if not (folder / f"{name}.txt").exists():  # written last
            text, wave = say(sentence, number)
            with replacing(folder / f"{name}.flac") as file:
                file.write(encode_audio(wave)[0])
            with replacing(folder / f"{name}.txt") as file:
                file.write(f"{text}\n".encode())


def sentences(number: int, clips: int) -> dict[str, str]:
    """What a voice says, by file name: no sentence twice."""
    rng = np.random.default_rng([734, number])
    free = rng.choice(len(FREE_SENTENCES), min(round(_FREE_SHARE * clips), len(FREE_SENTENCES)), replace=False)
    said = {f"free{chosen:04d}": FREE_SENTENCES[chosen] for chosen in sorted(free.tolist())}
    while len(said) < clips:
        code = grid_code(rng, held_out=False)
        said[code] = code
    return said


def say(sentence: str, number: int) -> tuple[str, np.ndarray]:
    """The words of a sentence and the waveform at 16 kHz of a voice that says it."""
    import soxr

    who = identity(number)
    rng = np.random.default_rng([735, number, *sentence.encode()])
    spoken = utter(sentence, who.voice, rng)
    return spoken.text, soxr.resample(spoken.wave, SAMPLE_RATE * who.height, SAMPLE_RATE)
