"""AV2A in either domain (Kefalas, Panagakis and Pantic 2023, arXiv 2307.16584): video, and a draft to listen to.

A video-to-audio model speaks the whole corpus; with an audio encoder beside its front end it then learns from video and
that draft together, in one of three procedures: "both", "dropout" (of modalities, rows of which are video or draft
alone) and "dropout_true" (audio-only rows hear the true sound). Before it come "audio", the audio-to-audio pre-training
of the decoder (arXiv 2306.15464), and "video", the V2A itself. Batch norms of the decoder have statistics for every
modality, and parts have SVTS's names, so that `train.grafts` takes weights over.

The paper concatenates audio features, video features and a speaker embedding before the conformer. Here every stream
has a linear map of its own and the sum goes on, which is the same as one map of their concatenation; `project` then is
that of SVTS, with the speaker's features beside the video's. What the audio encoder is, the shares of modality dropout
and the norms' states inside AV2A were NOT FOUND: convolutions over log-mels in both domains, the configs' numbers and
three states are ours. So are spoiled true sound in place of drafts (enhancement, inpainting), and further rounds.
"""

import abc
import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict, FrozenConfigDict

from v2s_jax.constants import MEL_PER_FRAME, SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.filters import scale_mel
from v2s_jax.features.mel import log_mel_jax, log_mel_of_clips
from v2s_jax.models.audio_encoder import AudioEncoder
from v2s_jax.models.modality_dropout import ModalityDropout
from v2s_jax.models.modality_norm import AUDIO, BOTH, VIDEO, ModalityBatchNorm
from v2s_jax.models.spoil import CLEAN, Spoil
from v2s_jax.systems.base import SILENT, frame_mask
from v2s_jax.systems.lip_reader import LipReader
from v2s_jax.systems.registry import build
from v2s_jax.systems.sampler import Knobs

STATES = {"audio": AUDIO, "video": VIDEO, "both": BOTH, "dropout": BOTH, "dropout_true": BOTH}  # outside training
PROCEDURES = tuple(STATES)
MOST_ROUNDS = 1000


def grow(v2a: ConfigDict, name: str, procedure: str) -> ConfigDict:
    """The `system` section of an AV2A with the sizes and losses of a V2A.

    Args:
        v2a: the section of an `svts` or a V2A of the domain; it stays as it is.
        name: of the system.
        procedure: of `PROCEDURES`.

    Raises:
        ValueError: there is no such procedure.
    """
    if procedure not in PROCEDURES:
        raise ValueError(f"there is no procedure {procedure!r}: expected one of {', '.join(PROCEDURES)}")
    config = ConfigDict(v2a.to_dict())
    own = dict(
        name=name,
        procedure=procedure,
        audio_encoder=ConfigDict(dict(width=config.width, blocks=2, taps=3)),
        modality_dropout=ConfigDict(dict(video=0.25, audio=0.25, ramp=0)),  # shares of rows; losses until they are full
        draft_source="records",  # or "spoiled": the true sound with noise and gaps
        spoil=ConfigDict(dict(snr=(-5.0, 15.0), gap=(0.0, 0.4))),  # decibels; share of every second
        base={"both": "v2a"}.get(procedure, "own" if "dropout" in procedure else "none"),  # who drafts when speaking
        v2a=ConfigDict(v2a.to_dict()),  # of a base "v2a": a frozen model inside, from train.grafts
        rounds=1,  # of refining, when speaking
    )
    config.update(own)
    return config


def grafts(source: str, parts: tuple[str, ...] = ("frontend", "project", "conformer", "head")) -> tuple:
    """For `train.grafts`: weights of an `svts` or another `av2a`, part by part.

    Args:
        source: a training workdir or an exported model.
        parts: by attribute.
    """
    return tuple((source, part, part) for part in parts)


def read_variant(variant: str) -> tuple[str, frozenset[str]]:
    """The procedure, and the words behind it, of a config's variant such as `dropout,pretrained,base`.

    Raises:
        ValueError: there is another word than `pretrained` and `base`.
    """
    procedure, *words = variant.split(",")
    if set(words) - {"pretrained", "base"}:
        raise ValueError(f"{variant!r} is no variant: expected a procedure, then pretrained or base if at all")
    return procedure, frozenset(words)


class Reading(NamedTuple):
    """What a training step has before it speaks."""

    batch: Batch  # at its random speed
    recorded: Float[Array, "B M 80"]  # true log-mel at that speed, not scaled
    x: Float[Array, "B T D"]  # features that speech and text are read from
    mask: Bool[Array, "B T"]
    state: Int[Array, "B"]


class AudioVisual(LipReader):
    """Video, a draft or both (and, if the config says so, a speaker embedding) to features, and from draft to speech.

    A domain is a class below it with `speak`, `hear`, `silence`, `take` and `finish`.
    """

    kind: Literal["mel", "waveform"]

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        check(config)
        self.config, self.state = FrozenConfigDict(config), STATES[config.procedure]
        super().__init__(config, rngs=rngs, dtype=dtype, norm=ModalityBatchNorm, sees=self.state != AUDIO)
        self.hears, self.drafts = self.state != VIDEO, self.state == BOTH and config.draft_source == "records"
        own: dict[str, float] = {"rounds": float(config.rounds)} if self.state == BOTH else {}
        if self.hears:
            sizes = config.audio_encoder
            self.audio_encoder = AudioEncoder(sizes.width, sizes.blocks, sizes.taps, dtype, rngs)
            # Without a bias: a clip in video alone then gets what the V2A gave it.
            self.project_audio = nnx.Linear(sizes.width, config.width, use_bias=False, dtype=dtype, rngs=rngs)
            if config.draft_source == "spoiled":
                self.spoil = Spoil(tuple(config.spoil.snr), tuple(config.spoil.gap))
                own |= CLEAN
        self.own_knobs, self.knobs = frozenset(own), own  # a base that refines keeps its own rounds
        self.limits = {"rounds": (0.0, float(MOST_ROUNDS)), "snr": (-1e2, 1e3), "gap": (0.0, 1.0)}
        if "dropout" in config.procedure:
            self.drop = ModalityDropout(**config.modality_dropout)
        needed = {"mouth", "speaker_embedding"} & self.fields
        if config.base == "v2a":
            self.base = build(config.v2a, rngs, dtype)
            needed |= getattr(self.base, "inputs", self.base.fields & SILENT)
            self.knobs = dict(getattr(self.base, "knobs", {})) | self.knobs
            self.limits = dict(getattr(self.base, "limits", {})) | self.limits
        elif self.hears and config.base == "none":
            needed.add("draft" if self.drafts else "audio")
        self.inputs = frozenset(needed)
        self.fields = self.fields | self.inputs | ({"draft"} if self.drafts else set())

    def see(self, batch: Batch, mask: Bool[Array, "B T"], state: Int[Array, "B"]) -> Float[Array, "B T F"]:
        """Visual features, 0 where there is no frame or it is not to be seen."""
        if self.state == AUDIO:
            return jnp.zeros((*mask.shape, self.config.resnet[-1]))
        shown = mask & (state != AUDIO)[:, None]
        # If no clip of a batch is to be seen the front end looks at all: its batch norms cannot measure nothing.
        looked = jnp.where(shown.any(), shown, mask)
        return jnp.where(shown[..., None], self.watch(batch, looked), 0)

    def features(
        self,
        seen: Float[Array, "B T F"],
        heard: Float[Array, "B M 80"] | None,
        state: Int[Array, "B"],
        batch: Batch,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B T D"]:
        """What mel and text are read from.

        Args:
            seen: from `see`.
            heard: scaled log-mel; rows that are video only do not hear it. None: there is none.
            state: of each row, of `models/modality_norm.py`.
            batch: with `length` and what else the config asks for.
            rngs: a `dropout` stream when training, None otherwise.
        """
        mask = frame_mask(batch.need("length"), seen.shape[1])
        x = self.join(seen, batch)
        if heard is not None:
            x = x + self.project_audio(self.audio_encoder(heard, mask & (state != VIDEO)[:, None]))
        return self.conformer(x, mask, rngs, state)

    @abc.abstractmethod
    def speak(self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], state: Int[Array, "B"]) -> Array:
        """Speech, as the domain has it, of features."""

    @abc.abstractmethod
    def hear(self, speech: Array, length: Int[Array, "B"]) -> Float[Array, "B M 80"]:
        """Scaled log-mel of speech as the domain has it, of clips of so many frames."""

    @abc.abstractmethod
    def silence(self, mask: Bool[Array, "B T"]) -> Array:
        """What `speak` would give if nothing were said."""

    @abc.abstractmethod
    def take(self, draft: Array, length: Int[Array, "B"]) -> Array:
        """Speech as the domain has it of what a base synthesized."""

    @abc.abstractmethod
    def finish(self, speech: Array, length: Int[Array, "B"]) -> Array:
        """What `synthesize` gives: speech with nothing beyond each clip's length."""

    def read(self, batch: Batch, rngs: nnx.Rngs) -> Reading:
        """Features of clips in one modality or both, as the procedure says, in training."""
        batch, recorded = self._at_speed(batch, rngs)
        rows, frames = len(recorded), recorded.shape[1] // MEL_PER_FRAME
        mask = frame_mask(batch.need("length"), frames)
        state = self.drop(rows, rngs) if hasattr(self, "drop") else jnp.full(rows, self.state)
        heard = self._given(batch, recorded, mask, rngs) if self.hears else None
        if heard is not None and self.config.procedure == "dropout_true":
            heard = jnp.where((state == AUDIO)[:, None, None], scale_mel(recorded), heard)
        x = self.features(self.see(batch, mask, state), heard, state, batch, rngs)
        return Reading(batch, recorded, x, mask, state)

    def _at_speed(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Batch, Float[Array, "B M 80"]]:
        """Video, true mel (not scaled) and draft at one random speed for each row."""
        mels = [log_mel_jax(batch.need("audio"))] + ([batch.need("draft").astype(jnp.float32)] if self.drafts else [])
        rows, frames = len(batch.length), mels[0].shape[1] // MEL_PER_FRAME
        mouth = jnp.zeros((rows, frames, 1, 1), jnp.uint8) if self.state == AUDIO else batch.need("mouth")
        mouth, joined, length = self.vary(mouth, jnp.concatenate(mels, -1), batch.need("length"), rngs)
        recorded, *draft = jnp.split(joined, len(mels), -1)
        batch = dataclasses.replace(batch, length=length, draft=draft[0] if draft else None)
        return batch if self.state == AUDIO else dataclasses.replace(batch, mouth=mouth), recorded

    def _given(
        self, batch: Batch, recorded: jax.Array | None, mask: jax.Array, rngs: nnx.Rngs, knobs: Knobs | None = None
    ) -> Float[Array, "B M 80"]:
        """The scaled log-mel that a batch brings to be heard: the draft, or the true sound, spoiled or not."""
        if self.drafts:
            return jnp.asarray(scale_mel(batch.need("draft").astype(jnp.float32)))
        mel = recorded
        if mel is None:
            mel = log_mel_of_clips(batch.need("audio"), SAMPLES_PER_FRAME * batch.need("length"))
        if self.config.draft_source == "spoiled":
            mel = self.spoil(mel, jnp.repeat(mask, MEL_PER_FRAME, 1), rngs, knobs)
        return jnp.asarray(scale_mel(mel))

    def synthesize(self, batch: Batch, rngs: nnx.Rngs, sampler: Knobs | None = None) -> jax.Array:
        """Speech, as `finish` gives it: a draft, and then `rounds` times a better one of it.

        Args:
            batch: `inputs`; the draft is made here unless the base is "none".
            rngs: for a base that samples, and for noise.
            sampler: some of `knobs`, in place of what the config says; traced or not.
        """
        # Without a sampler, as in validation, true sound is spoiled by the middle of what training does to it.
        usual = self.knobs if sampler is not None or not hasattr(self, "spoil") else self.knobs | self.spoil.middle
        knobs = usual | dict(sampler or {})
        length, sees = batch.need("length"), self.state != AUDIO
        frames = batch.need("mouth").shape[1] if sees else batch.need("audio").shape[1] // SAMPLES_PER_FRAME
        mask, state = frame_mask(length, frames), jnp.full_like(length, self.state)
        seen = self.see(batch, mask, state)

        def say(heard: jax.Array | None, state: jax.Array) -> jax.Array:
            return self.speak(self.features(seen, heard, state, batch), mask, state)

        if self.state != BOTH:
            return self.finish(say(self._given(batch, None, mask, rngs, knobs) if self.hears else None, state), length)
        rounds = jnp.clip(jnp.round(jnp.asarray(knobs["rounds"], jnp.float32)), 0, MOST_ROUNDS).astype(jnp.int32)

        def refine(turn: jax.Array, speech: jax.Array) -> jax.Array:
            return say(self.hear(speech, length), jnp.where(turn == 0, VIDEO, state))

        if self.config.base == "own":  # its draft is turn 0, in the same loop: its program is that of the others
            first, speech = 0, self.silence(mask)
        elif self.config.base == "v2a":
            own = {name: knobs[name] for name in getattr(self.base, "knobs", {}) if name not in self.own_knobs}
            first, speech = 1, self.take(self.base.synthesize(batch, rngs, own or None), length)
        else:
            given = self._given(batch, None, mask, rngs, knobs)
            # Only a mel can be what was given; a waveform begins with the first that is made of it.
            first, speech = (1, given) if self.kind == "mel" else (2, say(given, state))
        return self.finish(lax.fori_loop(first, 1 + rounds, refine, speech), length)

    @staticmethod
    def handed_on(section: ConfigDict) -> tuple[ConfigDict, set[str]]:
        """The `system` section as it is exported, and the parts left out: the count of steps on the ramp."""
        exported = ConfigDict(section.to_dict())
        exported.modality_dropout.ramp = 0
        return exported, {"drop"}


def check(config: ConfigDict) -> None:
    """Makes sure that the section's choices can be had.

    Raises:
        ValueError: one cannot.
    """
    known = {"procedure": PROCEDURES, "draft_source": ("records", "spoiled"), "base": ("none", "own", "v2a")}
    for name, values in known.items():
        if config[name] not in values:
            raise ValueError(f"system.{name} is {config[name]!r}: expected one of {', '.join(values)}")
    if not isinstance(config.rounds, int) or not 0 <= config.rounds <= MOST_ROUNDS:
        raise ValueError(f"system.rounds is {config.rounds!r}: expected a number from 0 to {MOST_ROUNDS}")
    alone = config.base == "own" and ("dropout" not in config.procedure or not config.modality_dropout.video)
    nothing = config.base != "none" and (STATES[config.procedure] != BOTH or config.draft_source == "spoiled")
    if alone or nothing:
        why = "it never trains on video alone" if alone else "it makes no use of drafts"
        raise ValueError(
            f"system.base is {config.base!r}, but with the procedure {config.procedure!r}, drafts from "
            f"{config.draft_source!r} and a share of {config.modality_dropout.video} {why}: choose another base"
        )
