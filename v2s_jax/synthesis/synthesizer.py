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
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.data.schema import ARRAYS, Record
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.features.mel import log_mel
from v2s_jax.media.clip import Clip, load_clip
from v2s_jax.media.face_encoder import FaceEncoder
from v2s_jax.synthesis.defaults import synthesis_config
from v2s_jax.synthesis.network import Face, Network, Output
from v2s_jax.synthesis.pretrained import DEFAULT, load_pretrained
from v2s_jax.synthesis.speech import Speech
from v2s_jax.synthesis.vocoder import make_vocoder, sharpen, vocode
from v2s_jax.synthesis.voice import Voice, voice_of
from v2s_jax.synthesis.windows import Window, cross_fade, plan
from v2s_jax.systems.base import System


class Synthesizer:
    """Speech from clips by one model. Calls from several threads are safe.

    Args:
        config: of the model; its `synthesis` section says how windows and vocoder are set.
        system: in evaluation mode.
        batch_size: windows computed at once. One is best on a CPU.
        seed: of systems that sample.
        sampler: settings of their sampler in place of the config's, such as {"evaluations": 10}.

    Raises:
        V2SError: the `synthesis` section is not one of this version, the system makes speech from speech, or none, or
            its sampler has no such setting.
    """

    def __init__(
        self,
        config: ConfigDict,
        system: System,
        batch_size: int = 1,
        seed: int = 0,
        sampler: Mapping[str, float] | None = None,
    ):
        if system.kind not in ("mel", "waveform"):
            raise V2SError(f"the {config.system.name} model makes no speech; name one that does")
        if "audio" in system.fields and "mouth" not in system.fields:
            use = "name it as --vocoder" if system.kind == "waveform" else "name one that was taught to see"
            raise V2SError(f"the {config.system.name} model makes speech from sound and not from video; {use}")
        self.config, self.kind, self.seed = config, system.kind, seed
        self.settings = synthesis_config(config)
        self.network = Network(system, self.settings.window, batch_size, seed, sampler)
        self.vocoder = make_vocoder(self.settings)
        self.voice: Voice | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike = DEFAULT,
        batch_size: int = 1,
        seed: int = 0,
        vocoder: str | os.PathLike | None = None,
        sampler: Mapping[str, float] | None = None,
    ) -> "Synthesizer":
        """The synthesizer of a shipped model, an exported folder or a training workdir.

        Args:
            name_or_path: of the model.
            batch_size: windows computed at once.
            seed: of systems that sample.
            vocoder: instead of the one in the model's config: `griffin_lim`, or a trained one by name or path.
            sampler: as above.

        Raises:
            V2SError: there is no such model, vocoder or setting, or the model is damaged or of another config.
        """
        config, made = load_pretrained(name_or_path)
        if vocoder is not None:
            config.update({"synthesis": {"vocoder": str(vocoder)}})
        return cls(config, made, batch_size=batch_size, seed=seed, sampler=sampler)

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
            other.vocoder = make_vocoder(other.settings)
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
        loaded = clip if isinstance(clip, Clip) else load_clip(clip, face=face, audio=False)
        read = {} if loaded is clip else {"read": time.perf_counter() - start}
        speech = self.batch([loaded], None if speaker is None else [speaker])[0]
        return dataclasses.replace(speech, timings=read | speech.timings)

    def batch(self, clips: Sequence[Clip], speakers: Sequence[Float[np.ndarray, "256"]] | None = None) -> list[Speech]:
        """Speech for several loaded clips, each as it would be alone; windows of similar length share batches.

        Raises:
            BadClip: a clip cannot be used, or lacks what the system needs, which sound does in all of them.
        """
        if clips and "audio" in self.network.fields:
            raise BadClip(
                f"{clips[0].path}: the {self.config.system.name} model listens to the true sound, which it is given of "
                "a data set's records alone (v2s-jax evaluate); speak clips with a model that only sees"
            )
        given: Sequence[Any] = speakers if speakers is not None else [None] * len(clips)
        faces = [
            Face(clip.mouth, clip.faces, speaker, expression=clip.expression)
            for clip, speaker in zip(clips, given, strict=True)
        ]
        names = [str(clip.path) for clip in clips]
        return [
            dataclasses.replace(speech, clip=clip)
            for speech, clip in zip(self._speak(faces, names), clips, strict=True)
        ]

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
        return self._speak([_face_of(record) for record in records], [record.id for record in records])

    def mels(self, records: Sequence[Record]) -> list[Float[np.ndarray, "_ 80"]]:
        """Log-mels of the speech for examples of a data set, not sharpened: the model's, or of its waveforms.

        Raises:
            V2SError: a record lacks what the system needs.
        """
        faces, names = [_face_of(record) for record in records], [record.id for record in records]
        return [made.rows if self.kind == "mel" else log_mel(made.rows) for made in self._compute(faces, names)]

    @property
    def looks_at(self) -> frozenset[str]:
        """Array fields of a record that it uses, whether each is needed or only taken where it is there."""
        fields = self.network.fields & ARRAYS | {"mouth"}
        return frozenset(fields | ({"face"} if "face_embedding" in fields else set()))

    def fingerprint(self) -> str:
        """Twelve hex digits that change with the weights and every setting that the sound depends on."""
        vocoder = getattr(self.vocoder, "fingerprint", "")  # of one that has weights
        sampler = str(sorted(self.network.knobs.items()))
        encoder = self.face_encoder.fingerprint if "face_embedding" in self.network.fields else ""
        parts = (self.config.system.to_json(), self.settings.to_json(), str(self.seed), sampler, vocoder, encoder)
        digest = hashlib.sha256("\n".join(parts).encode())
        for vector in self.voice or ():
            digest.update(b"" if vector is None else vector.tobytes())
        for leaf in jax.tree.leaves(self.network.weights):
            digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()[:12]

    @functools.cached_property
    def face_encoder(self) -> FaceEncoder:
        """What tells whose face it is, for systems that ask; loaded when first needed.

        Raises:
            V2SError: there is no such encoder, or it cannot be run.
        """
        return FaceEncoder(self.settings.face_encoder)

    def _identified(self, face: Face) -> Face:
        """The same in the voice asked for, or with the embedding of its crops, if the system takes one."""
        if self.voice is not None:
            return self.voice.given_to(face)
        if "face_embedding" not in self.network.fields or face.identity is not None:
            return face
        crops = face.crops
        return face if crops is None or not len(crops) else face._replace(identity=self.face_encoder(crops))

    def _vocoder_compiling(self) -> float:
        """Seconds that the vocoder has spent on compiling so far, if it compiles."""
        return getattr(self.vocoder, "compiling", 0.0)

    def _speak(self, faces: Sequence[Face], names: Sequence[str]) -> list[Speech]:
        return [self._sound(made) for made in self._compute(faces, names)]

    def _compute(self, faces: Sequence[Face], names: Sequence[str]) -> Iterator["_Made"]:
        """What the network makes of clips, one by one."""
        start = time.perf_counter()
        faces = [self._identified(face) for face in faces]
        looking = (time.perf_counter() - start) / max(1, len(faces))
        for face, name in zip(faces, names, strict=True):
            self._check(face, name)
        settings = self.settings
        plans = [plan(len(face.mouth), settings.window, settings.overlap, settings.fade) for face in faces]
        parts = [
            face.cut(window.start, window.stop)
            for face, windows in zip(faces, plans, strict=True)
            for window in windows
        ]
        outputs = iter(self.network(parts))
        for windows, name in zip(plans, names, strict=True):
            yield self._joined(windows, [next(outputs) for _ in windows], name, looking)

    def _check(self, face: Face, name: str) -> None:
        given = {"mouth": face.mouth, "face": face.crops, "speaker_embedding": face.speaker, "audio": face.audio}
        given |= {"expression": face.expression, "face_embedding": face.identity, "draft": face.draft}
        absent = {field for field, value in given.items() if value is None or not len(value)}
        instead = {"face_embedding"} if face.voice is not None else set()
        missing = sorted((absent - instead) & self.network.fields)
        if missing:
            add = "prepare the data set again" if "expression" in missing else "add it"  # a clip always has it
            raise BadClip(
                f"{name}: has no {' and no '.join(missing)}, which the {self.config.system.name} model needs; "
                f"{add} or use a model that does without"
            )

    def _joined(self, windows: list[Window], outputs: list[Output], name: str, looking: float) -> "_Made":
        """Joins the windows of one clip; `looking` is the seconds spent on whose face it is."""
        joined = np.concatenate(list(cross_fade(windows, [output.rows for output in outputs], self.network.rate)))
        if not np.isfinite(joined).all():
            raise BadClip(f"{name}: the model's output is not finite; its weights are damaged or training diverged")
        compiling, computing = (sum(getattr(o, what) for o in outputs) for what in ("compiling", "computing"))
        return _Made(joined, looking, compiling, computing)

    def _sound(self, made: "_Made") -> Speech:
        """Makes it heard."""
        joined, start, before = made.rows, time.perf_counter(), self._vocoder_compiling()
        if self.kind == "mel":
            mel = sharpen(joined, self.settings.contrast)
            waveform = vocode(self.vocoder, mel)
        else:
            mel, waveform = log_mel(joined), joined
        compiled = self._vocoder_compiling() - before
        vocoding = time.perf_counter() - start - compiled
        # Louder than full scale would be clipped in the file; a softer clip sounds better than a clipped one.
        waveform = waveform / max(1.0, float(abs(waveform).max()))
        rare = {"face": made.looking, "compile": made.compiling + compiled}
        timings = {stage: spent for stage, spent in rare.items() if spent > 0.01}
        timings |= {"network": made.computing, "vocoder": vocoding}
        return Speech(waveform.astype(np.float32), SAMPLE_RATE, mel, timings)


class _Made(NamedTuple):
    """What the network made of one clip, and the seconds that it took."""

    rows: Float[np.ndarray, "n ..."]
    looking: float
    compiling: float
    computing: float


def _face_of(record: Record) -> Face:
    """What may be looked at of an example of a data set.

    Raises:
        V2SError: it was read without its mouth crops.
    """
    if record.mouth is None:
        raise V2SError(f"{record.id}: the record was read without its mouth crops; read it with the field mouth")
    face = Face(record.mouth, record.face, record.speaker_embedding, record.audio)
    return face._replace(expression=record.expression, identity=record.face_embedding, draft=record.draft)
