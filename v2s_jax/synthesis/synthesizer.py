"""From clips to speech in Python: network, windows and vocoder behind one call.

synth = Synthesizer.from_pretrained()
speech = synth("clip.mp4")
write_wav("clip.wav", speech.waveform)
"""

import copy
import dataclasses
import functools
import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from v2s_jax.data.schema import ARRAYS, Record
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.clip import Clip, load_clip
from v2s_jax.media.face_encoder import FaceEncoder
from v2s_jax.synthesis import scratch
from v2s_jax.synthesis.batches import assembled, in_order, tried
from v2s_jax.synthesis.defaults import synthesis_config
from v2s_jax.synthesis.looks import Look, blank, check_complete, face_of
from v2s_jax.synthesis.network import Face, Network
from v2s_jax.synthesis.pretrained import DEFAULT, load_pretrained
from v2s_jax.synthesis.reading import LIMITS
from v2s_jax.synthesis.speech import Speech
from v2s_jax.synthesis.vocoder import batching, make_vocoder, sharpen
from v2s_jax.synthesis.voice import Voice, voice_of
from v2s_jax.synthesis.wholes import Made, Seen, Timed, Voiced, long_log_mel, speech_of
from v2s_jax.systems.base import System
from v2s_jax.training.precision import compute_dtype

K = TypeVar("K")


class Synthesizer:
    """Speech from clips by one model. Calls from several threads are safe.

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

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike = DEFAULT,
        batch_size: int = 1,
        seed: int = 0,
        vocoder: str | os.PathLike | None = None,
        sampler: Mapping[str, float] | None = None,
        units: bool = False,
        precision: str = "float32",
    ) -> "Synthesizer":
        """The synthesizer of a shipped model, an exported folder or a training workdir.

        Args:
            name_or_path: of the model.
            batch_size: windows computed at once.
            seed: of systems that sample.
            vocoder: instead of the one in the model's config: `griffin_lim`, or a trained one by name or path.
            sampler: as above.
            units: as above.
            precision: of the network's computation, `float32` or `bfloat16`; the vocoder's is float32.

        Raises:
            V2SError: there is no such model, vocoder, setting or precision, or the model is damaged or of another
                config.
        """
        compute = ConfigDict({"compute": precision})
        config, made = load_pretrained(name_or_path, compute_dtype(compute))
        config.update({"precision": compute})
        if vocoder is not None:
            config.update({"synthesis": {"vocoder": str(vocoder)}})
        return cls(config, made, batch_size=batch_size, seed=seed, sampler=sampler, units=units)

    def tuned(
        self,
        sampler: Mapping[str, float] | None = None,
        vocoder: str | os.PathLike | None = None,
        contrast: float | None = None,
    ) -> "Synthesizer":
        """The same model with other settings, not compiled again where those of its sampler alone are others.

        Args:
            sampler: as above; the others stay.
            vocoder: instead of the present one.
            contrast: likewise.

        Raises:
            V2SError: its sampler has no such setting, there is no such vocoder, or the contrast is not above 0.
        """
        other = copy.copy(self)
        other.network = self.network.tuned(sampler)
        sound = {"vocoder": None if vocoder is None else str(vocoder), "contrast": contrast}
        other.config = self.config.copy_and_resolve_references()
        other.config.update({"synthesis": {name: value for name, value in sound.items() if value is not None}})
        other.settings = synthesis_config(other.config)
        if vocoder is not None:
            other.vocoder = make_vocoder(other.settings, self._vocoder_rows)
        return other

    def in_voice_of(self, path: str | os.PathLike) -> "Synthesizer":
        """The same model speaking all clips in another voice, for systems whose timbre can be told apart.

        Args:
            path: a recording of the voice, or a video of a face that suggests one.

        Raises:
            V2SError: the model takes no such voice, or the file cannot be used.
        """
        other = copy.copy(self)
        other.voice = voice_of(path, self.settings.speaker_encoder, lambda: self.face_encoder)
        heard, fields = other.voice.speaker is not None, self.network.fields
        if not (self.network.takes_voice if heard else "face_embedding" in fields):
            other_one = "voice" if heard else "face"
            raise V2SError(
                f"{path}: the {self.config.system.name} model takes no other {other_one} than the clip's own"
            )
        return other

    def __call__(
        self,
        clip: str | os.PathLike | Clip,
        face: int | None = None,
        speaker: Float[np.ndarray, "256"] | None = None,
    ) -> Speech:
        """Speech for one clip; its own sound is neither needed nor looked at.

        Args:
            clip: a video file, or one already loaded.
            face: which face of a file with several, from 1, left to right; the steadiest largest by default.
            speaker: L2-normalised speaker embedding, for systems that take one.

        Raises:
            BadClip: the clip cannot be used, or lacks what the system needs.
        """
        start = time.perf_counter()
        loaded = clip
        if not isinstance(loaded, Clip):
            loaded = load_clip(loaded, face=face, audio=False, limits=LIMITS, room=scratch.large)
        read = {} if loaded is clip else {"read": time.perf_counter() - start}
        speech = self.batch([loaded], None if speaker is None else [speaker])[0]
        return dataclasses.replace(speech, timings=read | speech.timings)

    def batch(self, clips: Sequence[Clip], speakers: Sequence[Float[np.ndarray, "256"]] | None = None) -> list[Speech]:
        """Speech for several loaded clips, each as it would be alone; windows of similar length share batches.

        Raises:
            BadClip: a clip cannot be used, or lacks what the system needs, which sound does in all of them.
        """
        given: Sequence[Any] = speakers if speakers is not None else [None] * len(clips)
        looks = [(self.look(clip)[0]._replace(speaker=s), str(clip.path)) for clip, s in zip(clips, given, strict=True)]
        return [dataclasses.replace(speech, clip=clip) for speech, clip in zip(self._speak(looks), clips, strict=True)]

    def arrays(
        self,
        mouths: Sequence[UInt8[np.ndarray, "_ 96 96"]],
        faces: Sequence[UInt8[np.ndarray, "_ 112 112 3"]] | None = None,
        expressions: Sequence[UInt8[np.ndarray, "_ 48 48"]] | None = None,
        speakers: Sequence[Float[np.ndarray, "256"]] | None = None,
    ) -> list[Float[np.ndarray, "_"]]:
        """Waveforms for crops that are at hand as arrays, 640 samples to a frame; no file is touched.

        Args:
            mouths: grey mouth crops of each clip, as `Clip.mouth`.
            faces: identity crops of each, as `Clip.faces`, for systems that take them.
            expressions: grey crops of the face, as `Clip.expression`, likewise.
            speakers: L2-normalised speaker embeddings, likewise.

        Raises:
            BadClip: a clip is empty, or lacks what the system needs.
        """
        others = [given if given is not None else [None] * len(mouths) for given in (faces, expressions, speakers)]
        looks = [
            (Face(mouth, crops, speaker, expression=expression), f"clip {index}")
            for index, (mouth, crops, expression, speaker) in enumerate(zip(mouths, *others, strict=True))
        ]
        return [speech.waveform for speech in self._speak(looks)]

    def synthesize_record(self, record: Record) -> Speech:
        """Speech for one example of a data set; needs its `mouth`, uses its other fields if the system does.

        A face embedding that it lacks is computed from its `face`.

        Raises:
            V2SError: the record lacks what the system needs.
        """
        return self.records([record])[0]

    def records(self, records: Sequence[Record]) -> list[Speech]:
        """Speech for several examples of a data set, each as by `synthesize_record`; similar lengths share batches.

        Raises:
            V2SError: a record lacks what the system needs.
        """
        return self._speak([self.look(record) for record in records])

    def mels(self, records: Sequence[Record]) -> list[Float[np.ndarray, "_ 80"]]:
        """Log-mels of the speech for examples of a data set, not sharpened: the model's, or of its waveforms.

        Raises:
            V2SError: a record lacks what the system needs.
        """
        found = in_order(self.made(enumerate(map(self.look, records))), len(records))
        return [made.rows if self.kind == "mel" else long_log_mel(made.rows) for made in found]

    def look(self, thing: Clip | Record) -> Look:
        """What may be looked at of a clip or an example of a data set, and its name.

        Raises:
            V2SError: the system listens to what a clip must not give, or a record was read without its mouth crops.
        """
        if isinstance(thing, Record):
            return face_of(thing), thing.id
        if "audio" in self.network.fields:
            raise BadClip(
                f"{thing.path}: the {self.config.system.name} model listens to the true sound, which it is given of "
                "a data set's records alone (v2s-jax evaluate); speak clips with a model that only sees"
            )
        return Face(thing.mouth, thing.faces, expression=thing.expression), str(thing.path)

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
