"""A system's `synthesize` as compiled functions, one for each length of the ladder."""

import copy
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, UInt8

from v2s_jax.constants import EXPRESSION_SIZE, MEL_PER_FRAME, SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models.fold import fold
from v2s_jax.synthesis.buckets import (
    ladder,
    padded_faces,
    padded_frames,
    padded_mels,
    padded_mouths,
    padded_sounds,
    padded_vectors,
    rung,
)
from v2s_jax.systems.base import SILENT, System


class Face(NamedTuple):
    """What a system may look at of a clip or window."""

    mouth: UInt8[np.ndarray, "T 96 96"]
    crops: UInt8[np.ndarray, "K 112 112 3"] | None = None
    speaker: Float[np.ndarray, "256"] | None = None
    audio: Float[np.ndarray, "n"] | None = None
    expression: UInt8[np.ndarray, "T 48 48"] | None = None
    identity: Float[np.ndarray, "D"] | None = None
    start: int = 0  # frame of the clip
    voice: Float[np.ndarray, "256"] | None = None  # to speak in, whatever the face suggests
    draft: Float[np.ndarray, "M 80"] | None = None

    def cut(self, start: int, stop: int) -> "Face":
        """The frames [start, stop) of it."""
        audio = None if self.audio is None else self.audio[SAMPLES_PER_FRAME * start : SAMPLES_PER_FRAME * stop]
        expression = None if self.expression is None else self.expression[start:stop]
        draft = None if self.draft is None else self.draft[MEL_PER_FRAME * start : MEL_PER_FRAME * stop]
        face = self._replace(mouth=self.mouth[start:stop], audio=audio, expression=expression, draft=draft)
        return face._replace(start=self.start + start)


class Output(NamedTuple):
    """What the system made of one window, `rate` rows to a frame, and the seconds that it took."""

    rows: Float[np.ndarray, "n ..."]
    compiling: float
    computing: float


class Network:
    """Runs a system on windows of at most `window` frames. Calls from several threads are safe.

    Args:
        system: in evaluation mode.
        window: the most frames of an input, and the last rung of the ladder.
        batch_size: rows of every batch; the last one of a length is padded to it.
        seed: of systems that sample.
        knobs: what is to be other than the system's own, of what it lets a call change.
    """

    def __init__(
        self, system: System, window: int, batch_size: int, seed: int, knobs: Mapping[str, float] | None = None
    ):
        self.rate = MEL_PER_FRAME if system.kind == "mel" else SAMPLES_PER_FRAME
        self.fields = getattr(system, "inputs", system.fields & SILENT)
        self.takes_voice = "speaker_embedding" in self.fields | getattr(system, "optional", frozenset())
        self.knobs = _turned(getattr(system, "knobs", {}), knobs)
        self.rungs = ladder(window)
        self.batch_size = batch_size
        graphdef, state = nnx.split(cast(System, fold(cast(nnx.Module, system))))
        self.weights = nnx.to_pure_dict(state)
        self._key = jax.random.key(seed)
        self._jitted = jax.jit(
            lambda weights, batch, key, knobs: nnx.merge(graphdef, weights).synthesize(batch, nnx.Rngs(key), knobs)
        )
        self._lock = threading.Lock()
        self._compiled: dict[tuple[int, bool], Callable] = {}  # by length and whether a voice is given instead

    def tuned(self, knobs: Mapping[str, float] | None) -> "Network":
        """The same weights and compiled functions with other knobs.

        Raises:
            V2SError: the system has no such knob.
        """
        other = copy.copy(self)
        other.knobs = _turned(self.knobs, knobs)
        return other

    @property
    def compilations(self) -> int:
        """How many lengths were compiled so far, at most `len(self.rungs)`."""
        return len(self._compiled)

    def __call__(self, faces: Sequence[Face]) -> list[Output]:
        """The system's output for each input, in order; inputs of one rung share batches."""
        outputs: dict[int, Output] = {}
        rungs = [rung(len(face.mouth), self.rungs) for face in faces]
        by_rung = sorted(range(len(faces)), key=rungs.__getitem__)
        for frames, group in itertools.groupby(by_rung, key=rungs.__getitem__):
            members = list(group)
            for first in range(0, len(members), self.batch_size):
                chosen = members[first : first + self.batch_size]
                outputs |= zip(chosen, self._compute([faces[i] for i in chosen], frames), strict=True)
        return [outputs[index] for index in range(len(faces))]

    def _compute(self, faces: list[Face], frames: int) -> list[Output]:
        batch = self._batch(faces, frames)
        start = time.perf_counter()
        function = self._function(frames, batch)
        ready = time.perf_counter()
        rows = np.asarray(function(*self._arguments(batch)))
        done = time.perf_counter()
        share = len(faces)
        return [
            Output(row[: self.rate * len(face.mouth)], (ready - start) / share, (done - ready) / share)
            for face, row in zip(faces, rows, strict=False)
        ]

    def _batch(self, faces: list[Face], frames: int) -> Batch:
        """A padded batch of the fields that may be looked at; what is only a target in training stays None."""
        extra: dict[str, Any] = {}
        if self.knobs:  # it samples
            extra["start"] = np.array([face.start for face in faces] + [0] * (self.batch_size - len(faces)), np.int32)
        if "face" in self.fields:
            extra["face"] = padded_faces([face.crops for face in faces if face.crops is not None], self.batch_size)
        voices = [face.voice for face in faces if face.voice is not None]
        if self.takes_voice and voices:
            extra["speaker_embedding"] = padded_vectors(voices, self.batch_size)
        elif "speaker_embedding" in self.fields:
            speakers = [face.speaker for face in faces if face.speaker is not None]
            extra["speaker_embedding"] = padded_vectors(speakers, self.batch_size)
        if "face_embedding" in self.fields and not voices:
            identities = [face.identity for face in faces if face.identity is not None]
            extra["face_embedding"] = padded_vectors(identities, self.batch_size)
        if "expression" in self.fields:
            crops = [face.expression for face in faces if face.expression is not None]
            extra["expression"] = padded_frames(crops, self.batch_size, frames, EXPRESSION_SIZE)
        if "audio" in self.fields:
            sounds = [face.audio for face in faces if face.audio is not None]
            extra["audio"] = padded_sounds(sounds, self.batch_size, frames)
        if "draft" in self.fields:
            drafts = [face.draft for face in faces if face.draft is not None]
            extra["draft"] = padded_mels(drafts, self.batch_size, frames)
        return padded_mouths([face.mouth for face in faces], self.batch_size, frames, **extra)

    def _function(self, frames: int, batch: Batch) -> Callable:
        """Compiled ahead of its call, so that compiling shows as such; the lock keeps threads from doing it twice."""
        with self._lock:
            kind = frames, batch.face_embedding is None
            if kind not in self._compiled:
                self._compiled[kind] = self._jitted.lower(*self._arguments(batch)).compile()
            return self._compiled[kind]

    def _arguments(self, batch: Batch) -> tuple:
        knobs = {name: np.float32(value) for name, value in self.knobs.items()}
        return self.weights, batch, self._key, knobs or None


def _turned(own: Mapping[str, float], knobs: Mapping[str, float] | None) -> dict[str, float]:
    """Values of all knobs, those of `knobs` in place of the system's own."""
    if unknown := sorted((knobs or {}).keys() - own.keys()):
        known = f"it knows {', '.join(own)}" if own else "it knows none"
        raise V2SError(f"this model's sampler has no {unknown[0]!r}: {known}")
    return dict(own) | dict(knobs or {})
