"""Waves with the rhythm, the harmonics and the pauses of speech, and folders of them."""

from pathlib import Path

import numpy as np
import pytest

from v2s_jax.media.audio import write_wav
from v2s_jax.models import speaker
from v2s_jax.models.folder import save_model
from v2s_jax.models.rngs import Rngs

TEXTS = {
    "bbaf2n": "bin blue at f two now",
    "lgbr9s": "lay green by r nine soon",
    "swiz0p": "set white in z zero please",
}


def make_voice(seconds: float = 2.0, f0: float = 120.0, rate: float = 2.1) -> np.ndarray:
    """Syllables of a gliding buzz under a moving formant."""
    t = np.arange(int(seconds * 16000)) / 16000
    phase = 2 * np.pi * np.cumsum(f0 + 25 * np.sin(2 * np.pi * 1.3 * t)) / 16000
    envelope = np.clip(np.sin(2 * np.pi * rate * t), 0, 1) ** 0.5
    centre = 8 + 6 * np.sin(2 * np.pi * 0.9 * t)
    wave = sum(np.sin(k * phase) * np.exp(-(((k - centre) / 5) ** 2)) for k in range(1, 40))
    return (0.1 * envelope * wave).astype(np.float32)


def add_noise(wave: np.ndarray, amount: float) -> np.ndarray:
    """The wave under white noise, the same at every call."""
    return (wave + amount * np.random.default_rng(0).normal(size=len(wave))).astype(np.float32)


@pytest.fixture(scope="session")
def voice() -> np.ndarray:
    """Two seconds."""
    return make_voice()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Generated waves, each noisier than the one before, and recordings in GRID's layout with alignments."""
    top = tmp_path_factory.mktemp("evaluation")
    generated, reference = top / "generated", top / "grid"
    for folder in (generated, reference / "s1", reference / "alignments" / "s1"):
        folder.mkdir(parents=True)
    for number, (name, text) in enumerate(TEXTS.items()):
        wave = make_voice()
        write_wav(reference / "s1" / f"{name}.wav", wave)
        write_wav(generated / f"{name}.wav", add_noise(wave, 0.001 * 10**number))
        lines = [f"{i} {i + 1} {word}" for i, word in enumerate(["sil", *text.split(), "sil"])]
        (reference / "alignments" / "s1" / f"{name}.align").write_text("\n".join(lines))
    return generated, reference


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an untrained speaker encoder."""
    config = speaker.default_config("small")
    config.update({"layers": 1, "hidden": 8, "dim": 16})
    folder = tmp_path_factory.mktemp("encoder") / "tiny-ge2e"
    save_model(folder, config, speaker.SpeakerEncoder(config, rngs=Rngs(0)), {}, "")
    return str(folder)
