"""Trained vocoders for any system: a shipped one, an imported or exported folder, or a training's workdir."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
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
from v2s_jax.synthesis.pretrained import is_workdir, load_pretrained, locate

# Mel frames, from 0.5 s on: at most a third of what is computed is padding.
_RUNGS = (50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2200)


class NeuralVocoder:
    """A trained vocoder, compiled once for each of a few lengths. Calls from several threads are safe.

    Args:
        name_or_path: of the vocoder.

    Attributes:
        fingerprint: twelve hex digits that change with the weights.

    Raises:
        V2SError: there is no such vocoder, or it was made for another mel.
    """

    def __init__(self, name_or_path: str | os.PathLike):
        graphdef, state = nnx.split(fold(evaluation_mode(load_generator(name_or_path))))
        self._weights = nnx.to_pure_dict(state)
        self.fingerprint = _digest(self._weights)
        self._jitted = jax.jit(lambda weights, mel, length: nnx.merge(graphdef, weights)(mel, length))
        self._lock, self._thread = threading.Lock(), threading.local()
        self._compiled: dict[int, Callable] = {}

    def __call__(self, log_mel: Float[np.ndarray, "m 80"]) -> Float[np.ndarray, "n"]:
        """The waveform, n = 160 m."""
        frames = len(log_mel)
        rung = next((rung for rung in _RUNGS if rung >= frames), -(-frames // _RUNGS[-1]) * _RUNGS[-1])
        # Nothing spoken is louder; an untrained model's mel could otherwise overflow.
        mel = np.full((1, rung, N_MELS), LOG_FLOOR, np.float32)
        mel[0, :frames] = np.minimum(log_mel, 2 * LOG_CEILING)
        arguments = self._weights, mel, np.array([frames], np.int32)
        return np.asarray(self._function(rung, arguments)(*arguments))[0, : HOP_LENGTH * frames]

    def _function(self, rung: int, arguments: tuple[Any, ...]) -> Callable:
        """The lock keeps threads from compiling a length twice."""
        start = time.perf_counter()
        with self._lock:
            if rung not in self._compiled:
                self._compiled[rung] = self._jitted.lower(*arguments).compile()
        self._thread.compiling = self.compiling + time.perf_counter() - start
        return self._compiled[rung]

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
