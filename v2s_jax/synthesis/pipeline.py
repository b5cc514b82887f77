"""What a `Synthesizer` does behind its calls: who is seen, what the network makes of it, and its sound."""

import functools
import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np
from ml_collections import ConfigDict

from v2s_jax.data.schema import ARRAYS, Record
from v2s_jax.errors import V2SError
from v2s_jax.media.clip import Clip
from v2s_jax.media.face_encoder import FaceEncoder
from v2s_jax.synthesis.batches import assembled, in_order, tried
from v2s_jax.synthesis.defaults import synthesis_config
from v2s_jax.synthesis.looks import Look, blank, check_complete, face_of
from v2s_jax.synthesis.network import Face, Network
from v2s_jax.synthesis.speech import Speech
from v2s_jax.synthesis.vocoder import batching, make_vocoder, sharpen
from v2s_jax.synthesis.voice import Voice
from v2s_jax.synthesis.wholes import Made, Seen, Timed, Voiced, long_log_mel, speech_of
from v2s_jax.systems.base import System

K = TypeVar("K")


class Pipeline:
    """The stages from what is seen to what is heard. Calls from several threads are safe.

    Args:
        config: of the model; its `synthesis` section says how windows and vocoder are set.
        system: in evaluation mode.
        batch_size: windows computed at once. One is best on a CPU.
        seed: of systems that sample.
        sampler: settings of their sampler in place of the config's, such as {"evaluations": 10}.
        units: whether speech is to come with the units of its content.

    Raises:
        V2SError: the `synthesis` section is not one of this version, the system makes speech from speech, or none, or
            its sampler has no such setting, or it has no units.
    """

    def __init__(
        self,
        config: ConfigDict,
        system: System,
        batch_size: int = 1,
        seed: int = 0,
        sampler: Mapping[str, float] | None = None,
        units: bool = False,
    ):
        if system.kind not in ("mel", "waveform"):
            raise V2SError(f"the {config.system.name} model makes no speech; name one that does")
        if "audio" in system.fields and "mouth" not in system.fields:
            use = "name it as --vocoder" if system.kind == "waveform" else "name one that was taught to see"
            raise V2SError(f"the {config.system.name} model makes speech from sound and not from video; {use}")
        self.config, self.kind, self.seed = config, system.kind, seed
        self.settings = synthesis_config(config)
        self.network = Network(system, self.settings.window, batch_size, seed, sampler, units)
        self.vocoder = make_vocoder(self.settings, self._vocoder_rows)
        self.voice: Voice | None = None
        self._lock = threading.Lock()

    def look(self, thing: Clip | Record) -> Look:
        """What may be looked at of a clip or an example of a data set, and its name.

        Raises:
            V2SError: the system listens to what a clip must not give, or a record was read without its mouth crops.
        """
        if isinstance(thing, Record):
            return face_of(thing), thing.id
        sound = thing.audio if self.listens else None
        return Face(thing.mouth, thing.faces, audio=sound, expression=thing.expression), str(thing.path)

    @property
    def listens(self) -> bool:
        """Whether it hears a clip's own sound, as what enhances it does; what speaks must not."""
        return "audio" in self.network.fields

    def made(
        self, looks: Iterable[tuple[K, Look | Exception]], rungs: Sequence[int] | None = None
    ) -> Iterator[tuple[K, Made | Exception]]:
        """What the network makes of clips with keys, as it is done; what goes wrong with one costs that one alone.

        Args:
            looks: clips by `look`; an exception in place of one is handed on.
            rungs: the lengths of batches, some of `network.rungs`; all of them by default.
        """
        wholes = ((key, tried(self._seen, look)) for key, look in looks)
        return assembled(wholes, rungs or self.network.rungs, self.network.batch_size, self.network)

    def sounded(
        self, made: Iterable[tuple[K, Made | Exception]], rungs: Sequence[int] | None = None
    ) -> Iterator[tuple[K, Speech | Exception]]:
        """Makes what `made` gives heard, likewise; `rungs` are some of the vocoder's."""
        if self.kind == "waveform":
            yield from ((key, tried(self._own_sound, found)) for key, found in made)
            return
        known, rows, compute = batching(self.vocoder)

        def timed(mels: list[np.ndarray], frames: int) -> list[Timed]:
            start, before = time.perf_counter(), self._vocoder_compiling()
            waves = compute(mels, frames)
            compiling = self._vocoder_compiling() - before
            computing = time.perf_counter() - start - compiling
            return [Timed(wave, compiling / len(mels), computing / len(mels)) for wave in waves]

        wholes = ((key, tried(self._voiced, found)) for key, found in made)
        for key, voiced in assembled(wholes, rungs or known, rows, timed):
            yield key, voiced if isinstance(voiced, Exception) else speech_of(*voiced)

    @property
    def looks_at(self) -> frozenset[str]:
        """Array fields of a record that it uses, whether each is needed or only taken where it is there."""
        fields = self.network.fields & ARRAYS | {"mouth"}
        return frozenset(fields | ({"face"} if "face_embedding" in fields else set()))

    @property
    def compilations(self) -> int:
        """Programs compiled so far, of the network and the vocoder."""
        return self.network.compilations + getattr(self.vocoder, "compilations", 0)

    def compile(self, frames: int) -> None:
        """Compiles the network's program for a rung ahead of its use."""
        self.network.compile(self.identified(blank(frames)))

    def example(self, frames: int) -> dict[str, np.ndarray]:
        """Arrays such as the network is given, by field, for a clip of so many frames."""
        return self.network.example(self.identified(blank(frames)))

    def fingerprint(self) -> str:
        """Twelve hex digits that change with the weights and every setting that the sound depends on."""
        vocoder = getattr(self.vocoder, "fingerprint", "")  # of one that has weights
        sampler = str(sorted(self.network.knobs.items()))
        encoder = self.face_encoder.fingerprint if "face_embedding" in self.network.fields else ""
        sections = (self.config.system, self.settings, self.config.get("precision", ConfigDict()))
        parts = (*(section.to_json() for section in sections), str(self.seed), sampler, vocoder, encoder)
        digest = hashlib.sha256("\n".join(parts).encode())
        for vector in self.voice or ():
            digest.update(b"" if vector is None else vector.tobytes())
        for leaf in jax.tree.leaves(self.network.weights):
            digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()[:12]

    @property
    def _vocoder_rows(self) -> int:
        """A CPU is quickest with one mel at a time."""
        return self.network.batch_size if jax.default_backend() != "cpu" or jax.local_device_count() > 1 else 1

    @functools.cached_property
    def face_encoder(self) -> FaceEncoder:
        """What tells whose face it is, for systems that ask; loaded when first needed.

        Raises:
            V2SError: there is no such encoder, or it cannot be run.
        """
        return FaceEncoder(self.settings.face_encoder)

    def identified(self, face: Face) -> Face:
        """The same in the voice asked for, or with the embedding of its crops, if the system takes one."""
        if self.voice is not None:
            return self.voice.given_to(face)
        if "face_embedding" not in self.network.fields or face.identity is not None:
            return face
        crops = face.crops
        if crops is None or not len(crops):
            return face
        with self._lock:  # the encoder is for one thread at a time
            return face._replace(identity=self.face_encoder(crops))

    def _vocoder_compiling(self) -> float:
        """Seconds that the vocoder has spent on compiling so far, if it compiles."""
        return getattr(self.vocoder, "compiling", 0.0)

    def _speak(self, looks: Sequence[Look]) -> list[Speech]:
        return in_order(self.sounded(self.made(enumerate(looks))), len(looks))

    def _seen(self, look: Look) -> Seen:
        start, (given, name) = time.perf_counter(), look
        face = self.identified(given)
        looking = 0.0 if face is given else time.perf_counter() - start
        check_complete(face, name, self.network.fields, self.config.system.name)
        return Seen(face, name, self.settings, self.network.rate, looking)

    def _voiced(self, made: Made) -> Voiced:
        return Voiced(made, sharpen(made.rows, self.settings.contrast))

    def _own_sound(self, made: Made) -> Speech:
        start = time.perf_counter()
        return speech_of(made, long_log_mel(made.rows), made.rows, time.perf_counter() - start)
