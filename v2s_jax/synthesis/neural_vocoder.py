"""Trained vocoders for any system: a shipped one, an imported or exported folder, or a training's workdir."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from v2s_jax.constants import HOP_LENGTH, LOG_CEILING, LOG_FLOOR, N_MELS, SAMPLE_RATE
from v2s_jax.errors import V2SError
from v2s_jax.models.fold import fold
from v2s_jax.models.folder import read_model
from v2s_jax.models.hifigan import Generator
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.settings import section_of
from v2s_jax.models.spectral import SpectralVocoder
from v2s_jax.synthesis.devices import everywhere, over_devices, whole_rows
from v2s_jax.synthesis.pretrained import is_workdir, load_pretrained, locate
from v2s_jax.synthesis.programs import Programs

# Mel frames, from 0.5 s on: at most a third of what is computed is padding. The last holds any chunk of a long mel.
RUNGS = (50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2100, 2600)


class NeuralVocoder:
    """A trained vocoder, compiled once for each of a few lengths. Calls from several threads are safe.

    Args:
        name_or_path: of the vocoder.
        rows: mels of a batch, rounded up to a multiple of this process's devices.

    Attributes:
        fingerprint: twelve hex digits that change with the weights.
        rows: as above.
        weights: of the network, folded.
        run: a pure function of such weights, mels [B, m, 80] and their lengths to waveforms.

    Raises:
        V2SError: there is no such vocoder, or it was made for another mel.
    """

    rungs = RUNGS

    def __init__(self, name_or_path: str | os.PathLike, rows: int = 1):
        graphdef, state = nnx.split(fold(evaluation_mode(load_generator(name_or_path))))
        weights = nnx.to_pure_dict(state)
        self.fingerprint, self.rows, self.weights = _digest(weights), whole_rows(rows), weights
        self._everywhere = everywhere(weights)
        self.run = lambda weights, mel, length: nnx.merge(graphdef, weights)(mel, length)
        self._jitted = over_devices(self.run, (False, True, True))
        self._thread, self._programs = threading.local(), Programs()

    def __call__(self, log_mel: Float[np.ndarray, "m 80"]) -> Float[np.ndarray, "n"]:
        """The waveform, n = 160 m."""
        frames = len(log_mel)
        rung = next((rung for rung in RUNGS if rung >= frames), -(-frames // RUNGS[-1]) * RUNGS[-1])
        return self.batch([log_mel], rung)[0]

    def batch(self, log_mels: Sequence[Float[np.ndarray, "_ 80"]], frames: int) -> list[Float[np.ndarray, "_"]]:
        """The waveforms of at most `rows` mels of at most `frames` frames, a rung."""
        mels = np.full((self.rows, frames, N_MELS), LOG_FLOOR, np.float32)
        for row, log_mel in zip(mels, log_mels, strict=False):
            # Nothing spoken is louder; an untrained model's mel could otherwise overflow.
            row[: len(log_mel)] = np.minimum(log_mel, 2 * LOG_CEILING)
        # Rows that are padding are as long as the first: some networks make no sense of nothing.
        lengths = np.array([len(mel) for mel in log_mels] + [len(log_mels[0])] * (self.rows - len(log_mels)), np.int32)
        arguments = self._everywhere, mels, lengths
        waves = np.asarray(self._function(frames, arguments)(*arguments))
        return [wave[: HOP_LENGTH * len(mel)] for wave, mel in zip(waves, log_mels, strict=False)]

    def compile(self, frames: int) -> None:
        """Compiles the program of a rung ahead of its use."""
        mels = np.full((self.rows, frames, N_MELS), LOG_FLOOR, np.float32)
        self._function(frames, (self._everywhere, mels, np.full(self.rows, frames, np.int32)))

    def _function(self, rung: int, arguments: tuple[Any, ...]) -> Callable:
        function, seconds = self._programs.get(rung, lambda: self._jitted.lower(*arguments).compile())
        self._thread.compiling = self.compiling + seconds
        return function

    @property
    def compilations(self) -> int:
        """How many lengths were compiled so far, at most `len(rungs)`."""
        return len(self._programs)

    @property
    def compiling(self) -> float:
        """Seconds that this thread has spent on compiling so far, or on waiting until another had done it."""
        return getattr(self._thread, "compiling", 0.0)


def _digest(weights: Any) -> str:
    """Twelve hex digits."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(weights):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:12]


def load_generator(name_or_path: str | os.PathLike) -> Generator | SpectralVocoder:
    """The vocoder of a folder that holds it alone, of an exported system of one, or of a training of one.

    Raises:
        V2SError: there is no such folder, it holds something else, or its mel is not this project's.
    """
    folder = locate(name_or_path)
    found: Any
    if not is_workdir(folder) and section_of(folder) == "model":
        _, info, found = read_model(folder)
        _check_mel(info, folder)
    else:
        found = getattr(load_pretrained(folder)[1], "generator", None)
    if not isinstance(found, Generator | SpectralVocoder):
        raise V2SError(
            f"{folder}: holds no vocoder; expected a hifigan or spectral one, imported, exported or in training"
        )
    if (found.hop, found.num_mels) != (HOP_LENGTH, N_MELS):
        raise V2SError(
            f"{folder}: makes {found.hop} samples from each of {found.num_mels}-bin mel frames; expected a vocoder of "
            f"{HOP_LENGTH} samples and {N_MELS} bins"
        )
    return found


def _check_mel(info: dict[str, Any], folder: Path) -> None:
    audio = info.get("audio")
    rate = audio.get("sampling_rate") if isinstance(audio, dict) else None
    if rate not in (None, SAMPLE_RATE):
        raise V2SError(f"{folder}: makes speech of {rate!r} Hz; expected a vocoder of {SAMPLE_RATE} Hz")
