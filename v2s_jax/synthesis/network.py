"""A system's `synthesize` as compiled functions, one for each length of the ladder."""

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Int, UInt8

from v2s_jax.constants import EXPRESSION_SIZE, MEL_PER_FRAME, SAMPLES_PER_FRAME, UNITS_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models.fold import fold
from v2s_jax.models.rngs import Rngs
from v2s_jax.synthesis.buckets import (
    ladder,
    padded_faces,
    padded_frames,
    padded_mels,
    padded_mouths,
    padded_sounds,
    padded_vectors,
)
from v2s_jax.synthesis.devices import everywhere, over_devices, whole_rows
from v2s_jax.synthesis.programs import Programs
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
    """What the system made of one window, `rate` rows to a frame, and the seconds that it took; its units if asked."""

    rows: Float[np.ndarray, "n ..."]
    compiling: float
    computing: float
    units: Int[np.ndarray, "m"] | None = None


class Network:
    """Runs a system on windows of at most `window` frames. Calls from several threads are safe.

    Args:
        system: in evaluation mode.
        window: the most frames of an input, and the last rung of the ladder.
        batch_size: rows of every batch, rounded up to a multiple of this process's devices; what is missing is padding.
        seed: of systems that sample.
        knobs: what is to be other than the system's own, of what it lets a call change.
        units: whether the outputs are to have the content's units, too.

    Attributes:
        weights: of the system, folded.
        run: a pure function of such weights, a batch, a key and the knobs, to the system's output and its units.

    Raises:
        V2SError: the system has no such knob, or gives no units.
    """

    def __init__(
        self,
        system: System,
        window: int,
        batch_size: int,
        seed: int,
        knobs: Mapping[str, float] | None = None,
        units: bool = False,
    ):
        self.rate = MEL_PER_FRAME if system.kind == "mel" else SAMPLES_PER_FRAME
        self.fields = getattr(system, "inputs", system.fields & SILENT)
        self.takes_voice = "speaker_embedding" in self.fields | getattr(system, "optional", frozenset())
        self._limits = getattr(system, "limits", {})
        self.knobs = _turned(getattr(system, "knobs", {}), knobs, self._limits)
        self.rungs, self.batch_size, self.units = ladder(window), whole_rows(batch_size), units
        if units and not hasattr(system, "units"):
            raise V2SError(f"this {type(system).__name__} model has no units inside; name one with a content stage")
        graphdef, state = nnx.split(cast(System, fold(cast(nnx.Module, system))))
        self.weights = nnx.to_pure_dict(state)
        self._everywhere = everywhere(self.weights)
        self._key = jax.random.key(seed)

        def run(weights: Any, batch: Batch, key: Any, knobs: Any) -> Any:
            made: Any = nnx.merge(graphdef, weights)
            return made.synthesize(batch, Rngs(key), knobs), made.units(batch) if units else None

        self.run = run
        self._jitted = over_devices(run, (False, True, False, False))
        self._programs = Programs()  # by length and whether a voice is given instead

    def tuned(self, knobs: Mapping[str, float] | None) -> "Network":
        """The same weights and compiled functions with other knobs.

        Raises:
            V2SError: the system has no such knob.
        """
        other = copy.copy(self)
        other.knobs = _turned(self.knobs, knobs, self._limits)
        return other

    @property
    def compilations(self) -> int:
        """How many lengths were compiled so far, at most `len(self.rungs)`."""
        return len(self._programs)

    def example(self, face: Face) -> dict[str, np.ndarray]:
        """The arrays of a batch, by field, for one input and as much padding as it takes."""
        batch = self._batch([face], len(face.mouth))
        fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
        return {name: np.asarray(value) for name, value in fields.items() if value is not None}

    def compile(self, face: Face) -> None:
        """Compiles the program of a rung ahead of its use.

        Args:
            face: as long as the rung, with the fields that inputs will have; its values do not matter.
        """
        batch = self._batch([face], len(face.mouth))
        self._function(batch)

    def __call__(self, faces: list[Face], frames: int) -> list[Output]:
        """The system's output for each of at most `batch_size` inputs of at most `frames` frames, a rung."""
        batch = self._batch(faces, frames)
        function, compiling = self._function(batch)
        start = time.perf_counter()
        rows, units = jax.tree.map(np.asarray, function(*self._arguments(batch)))
        computing, share = time.perf_counter() - start, len(faces)
        return [
            Output(
                rows[row, : self.rate * len(face.mouth)],
                compiling / share,
                computing / share,
                None if units is None else units[row, : UNITS_PER_FRAME * len(face.mouth)].astype(np.int16),
            )
            for row, face in enumerate(faces)
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

    def _function(self, batch: Batch) -> tuple[Callable, float]:
        """The program for such a batch, and the seconds spent on compiling it or waiting for it."""
        kind = np.asarray(batch.mouth).shape[1], batch.face_embedding is None
        return self._programs.get(kind, lambda: self._jitted.lower(*self._arguments(batch)).compile())

    def _arguments(self, batch: Batch) -> tuple:
        knobs = {name: np.float32(value) for name, value in self.knobs.items()}
        return self._everywhere, batch, self._key, knobs or None


def _turned(
    own: Mapping[str, float], knobs: Mapping[str, float] | None, limits: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Values of all knobs, those of `knobs` in place of the system's own.

    Raises:
        V2SError: there is no such knob, or a value is out of its limits.
    """
    if unknown := sorted((knobs or {}).keys() - own.keys()):
        known = f"it knows {', '.join(own)}" if own else "it knows none"
        raise V2SError(f"this model's sampler has no {unknown[0]!r}: {known}")
    for name, value in (knobs or {}).items():
        least, most = limits.get(name, (-np.inf, np.inf))
        fits = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
        if not fits or not least <= value <= most:
            within = f" from {least:g} to {most:g}" if name in limits else ""
            raise V2SError(f"this model's sampler has {name} = {value!r}: expected a number{within}")
    return dict(own) | dict(knobs or {})
