"""From clips to speech in Python: network, windows and vocoder behind one call.

synth = Synthesizer.from_pretrained()
speech = synth("clip.mp4")
write_wav("clip.wav", speech.waveform)
"""

import copy
import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from v2s_jax.data.schema import Record
from v2s_jax.errors import V2SError
from v2s_jax.media.clip import Clip, load_clip
from v2s_jax.synthesis import scratch
from v2s_jax.synthesis.batches import in_order
from v2s_jax.synthesis.defaults import synthesis_config
from v2s_jax.synthesis.network import Face
from v2s_jax.synthesis.pipeline import Pipeline
from v2s_jax.synthesis.pretrained import DEFAULT, load_pretrained
from v2s_jax.synthesis.reading import LIMITS
from v2s_jax.synthesis.speech import Speech
from v2s_jax.synthesis.vocoder import make_vocoder
from v2s_jax.synthesis.voice import voice_of
from v2s_jax.synthesis.wholes import long_log_mel
from v2s_jax.training.precision import compute_dtype


class Synthesizer(Pipeline):
    """Speech from clips by one model; made as a `Pipeline` is. Calls from several threads are safe."""

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
        """Speech for one clip; its own sound is neither needed nor looked at, unless the model is one that enhances it.

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
            loaded = load_clip(loaded, face=face, audio=self.listens, limits=LIMITS, room=scratch.large)
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
