"""From Faces to Voices (Kim et al. 2025, arXiv 2503.16956): content, timbre and prosody from a face, then a flow.

Lips give content, aligned with discrete units of speech; the face's identity gives timbre, aligned with a speaker
encoder's embedding; its expression gives prosody, aligned with pitch and energy. The three come one after the other,
each from what the one before made, and a decoder trained by conditional flow matching makes the mel spectrogram of
them. What the abstract tells is that order, AV-HuBERT and ArcFace, optimal-transport paths and classifier-free
guidance; the losses, the widths, the conditional layer norm that brings in the timbre and all else are ours, after the
same laboratory's neighbouring work.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict, FrozenConfigDict

from v2s_jax.constants import CROP_SIZE, MEL_PER_FRAME, N_MELS, SPEAKER_DIM, UNITS_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.filters import scale_mel
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.generative.coupling import minibatch_ot
from v2s_jax.generative.flow_matching import CondOT, flow_matching_loss
from v2s_jax.generative.times import logit_normal_times, stratified_times
from v2s_jax.models import avhubert, dit, mel_transformer, unet1d
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.prosody import LIMITS, louder
from v2s_jax.models.registry import build_denoiser
from v2s_jax.models.remat import KEEP_ALL
from v2s_jax.systems import sampler as samplers
from v2s_jax.systems.base import Metrics, Rules, check_crop, frame_mask, normalise_mouth, spoken_mel, stack, unstack
from v2s_jax.systems.voice_stages import Voice, VoiceStages

SIZES = {  # encoder, decoder, and the stages' conformers and the channels that watch the face
    "large": ("large", "base", dict(blocks=4, width=512, heads=8, hidden=2048), (32, 64, 128, 128)),
    "tiny": ("tiny", "small", dict(blocks=1, width=128, heads=4, hidden=384), (8, 16, 32, 32)),
}
PARTS = ("content", "timbre", "prosody", "decoder")
DECODERS = {"dit": dit, "unet1d": unet1d, "mel_transformer": mel_transformer}


def default_config(size: str = "large", decoder: str = "dit", clusters: int = 1000, face: int = 512) -> ConfigDict:
    """The `system` section: every number of the named size.

    Args:
        size: of `SIZES`.
        decoder: of `DECODERS`.
        clusters: kinds of units in the data.
        face: length of the data's face embeddings: 512 of ArcFace, 128 of dlib.
    """
    encoder_size, decoder_size, sizes, expression = SIZES[size]
    encoder = avhubert.default_config(encoder_size)
    encoder.update({"masking": "none"})
    made = DECODERS[decoder].default_config(decoder_size)
    made.condition = UNITS_PER_FRAME * sizes["width"] + SPEAKER_DIM
    conformer = sizes | {"kernel_size": 31, "dropout": 0.1, "remat": KEEP_ALL}
    flow = {"solver": "euler", "grid": "sway", "evaluations": 10, "most": 64, "guidance_by": "none"}
    sampler = samplers.default_config()
    sampler.update(flow | {"classifier_free": 2.0})
    return ConfigDict(
        dict(
            name="faces2voices",
            encoder=encoder,
            decoder=made,
            content=ConfigDict(conformer),
            prosody=ConfigDict(conformer | {"blocks": max(1, sizes["blocks"] // 2)}),
            expression=expression,  # channels of the network that watches the face
            clusters=clusters,
            face=face,
            crop=CROP_SIZE,
            speaker_from="face",  # whose timbre: the face's, the true "audio"'s, or "none"
            prosody_from="face",  # or "none"
            smoothing=0.1,  # of the units' labels
            ctc_weight=0.0,  # of spelling the text, beside the units
            weights=ConfigDict({part: 1.0 for part in PARTS}),  # of the losses where parts train together
            teach=ConfigDict({"units": 0.5, "speaker": 0.5, "prosody": 0.5}),  # share of rows told the truth
            # Of conditions, each on its own, and all at once: what guidance leads away from.
            drop=ConfigDict({"content": 0.1, "speaker": 0.1, "prosody": 0.1, "all": 0.1}),
            sigma_min=1e-4,
            prediction="velocity",  # or x_1
            norm="l2",
            times="uniform",  # or logit_normal
            coupling="independent",  # or minibatch_ot
            reflow=0,  # evaluations by the teacher of the stage of that name; 0: there is no teacher
            reflow_guidance=2.0,  # its classifier-free scale
            sampler=sampler,
        )
    )


class Faces2Voices(nnx.Module):
    """Encoder, three stages and decoder."""

    kind = "mel"
    optional = frozenset({"speaker_embedding"})  # heard in place of what the face suggests, where it is given
    free = {"encoder": avhubert.TRAINING_SETTINGS}

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.config, self.path = FrozenConfigDict(config), CondOT(config.sigma_min)
        check(config, self.path)
        self.crop = check_crop(config.crop)
        self.encoder = avhubert.AVHuBERT(config.encoder, rngs=rngs, dtype=dtype)
        self.voice = VoiceStages(config, rngs=rngs, dtype=dtype)
        self.decoder = build_denoiser(config.decoder, rngs, dtype)
        if config.reflow:
            self.teacher = build_denoiser(config.decoder, rngs, dtype)
        self.inputs = self.voice.inputs | {"mouth"}
        self.fields = self.inputs | self.voice.truth | {"audio"}
        sampling = {name: float(config.sampler[name]) for name in ("evaluations", "classifier_free")}
        self.knobs = sampling | self.voice.knobs
        self.limits = samplers.limits(config.sampler) | LIMITS

    def speak(self, batch: Batch, rngs: nnx.Rngs | None = None, knobs: samplers.Knobs | None = None) -> Voice:
        """What the three stages make of clips; arguments as of `VoiceStages`."""
        mouth = batch.need("mouth")
        mask = frame_mask(batch.need("length"), mouth.shape[1])
        lips = self.encoder(video=normalise_mouth(mouth, self.crop), padding_mask=~mask, rngs=rngs)
        return self.voice(lips, batch, rngs, knobs)

    def loss(self, batch: Batch, rngs: nnx.Rngs, player: str) -> tuple[Float[Array, ""], Metrics]:
        """That of a part, of all of them where they train together ("joint"), or of fewer steps ("reflow")."""
        if player == "reflow":
            return self._reflow_loss(batch, rngs)
        found = self.speak(batch, rngs)
        wanted = PARTS if player == "joint" else (player,)
        total, metrics = jnp.zeros(()), Metrics()
        for part in wanted:
            if part == "decoder":
                terms, more = {"flow": self._decoder_loss(batch, found, rngs)}, Metrics()
            else:
                terms, more = self.voice.losses(part, batch, found)
            weight = self.config.weights[part] if player == "joint" else 1
            total = total + weight * sum(terms.values(), jnp.zeros(()))
            metrics |= terms | more
        return total, metrics

    def _decoder_loss(self, batch: Batch, found: Voice, rngs: nnx.Rngs) -> Float[Array, ""]:
        """Conditional flow matching."""
        x_1 = stack(jnp.asarray(scale_mel(log_mel_jax(batch.need("audio")))))
        mask = frame_mask(batch.need("length"), x_1.shape[1])
        x_0 = jax.random.normal(rngs.noise(), x_1.shape)
        if self.config.coupling == "minibatch_ot":
            x_0 = minibatch_ot(x_0, x_1, mask[..., None])
        times = {"uniform": stratified_times, "logit_normal": logit_normal_times}[self.config.times]
        return self._flow(x_0, x_1, times(rngs.times(), len(x_1)), found.condition, mask, rngs)

    def _flow(
        self, x_0: jax.Array, x_1: jax.Array, t: jax.Array, condition: jax.Array, mask: jax.Array, rngs: nnx.Rngs
    ) -> Float[Array, ""]:
        """How far the decoder is from the straight way between noise and data."""
        return flow_matching_loss(
            lambda x_t, t: self.decoder(x_t, t, condition, mask, rngs),
            self.path,
            x_0,
            x_1,
            t,
            prediction=self.config.prediction,
            norm=self.config.norm,
            mask=mask[..., None],
        )

    def _reflow_loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """Flow matching to where a guided teacher leads (rectified flow, Liu et al. 2023, arXiv 2209.03003, 2.2).

        The ways do not cross then, so few steps suffice, and the guidance is inside: one evaluation a step.
        """
        calm = evaluation_mode(self)
        condition = jax.lax.stop_gradient(calm.speak(batch).condition)
        rows, frames, _ = condition.shape
        mask = frame_mask(batch.need("length"), frames)
        x_0 = jax.random.normal(rngs.noise(), (rows, frames, MEL_PER_FRAME * N_MELS))
        led = samplers.run(
            self.config.sampler,
            self.path,
            self.config.prediction,
            samplers.conditional(calm.teacher, condition, mask, jnp.asarray(self.config.reflow_guidance, jnp.float32)),
            lambda draw: x_0,
            knobs={"evaluations": float(self.config.reflow)},
        )
        t = stratified_times(rngs.times(), rows)
        loss = self._flow(x_0, jax.lax.stop_gradient(led), t, condition, mask, rngs)
        return loss, {"reflow": loss}

    def synthesize(self, batch: Batch, rngs: nnx.Rngs, sampler: samplers.Knobs | None = None) -> Float[Array, "B M 80"]:
        """Unscaled log-mel, the floor beyond each clip's length.

        Args:
            batch: silent video; with a `speaker_embedding` and no `face_embedding`, in that voice.
            rngs: for the noise, which is the same for every row: a clip sounds alike in any batch.
            sampler: some of `knobs`, in place of what the config says.
        """
        knobs = self.knobs | dict(sampler or {})
        condition = self.speak(batch, knobs=knobs).condition
        rows, frames, _ = condition.shape
        mask = frame_mask(batch.need("length"), frames)
        x_1 = samplers.run(
            self.config.sampler,
            self.path,
            self.config.prediction,
            samplers.conditional(self.decoder, condition, mask, jnp.asarray(knobs["classifier_free"], jnp.float32)),
            samplers.clip_noise(batch, rngs),
            knobs=knobs,
        )
        mel = spoken_mel(unstack(x_1), batch.need("length"))
        if "energy_shift" not in knobs:
            return mel
        return louder(mel, jnp.repeat(mask, MEL_PER_FRAME, 1), jnp.asarray(knobs["energy_shift"], jnp.float32))

    def units(self, batch: Batch) -> Int[Array, "B half_frames"]:
        """The likeliest unit of each 1/50 s of the content; beyond each clip's length they mean nothing."""
        return jnp.argmax(self.speak(batch).logits, -1)

    @staticmethod
    def handed_on(section: ConfigDict) -> tuple[ConfigDict, set[str]]:
        """The `system` section as it is exported, and the parts left out: nobody needs the teacher any more."""
        return ConfigDict(section.to_dict() | {"reflow": 0}), {"teacher"}

    def stages(self) -> dict[str, Rules]:
        """The parts one after the other, or "joint" all at once; then "reflow". The encoder stays as it is."""
        own = {
            "content": "voice/(content/(?!table$)|text_head/).*",
            "timbre": "voice/timbre/.*",
            "prosody": "voice/(content/table|(voiced|expression|prosody)/.*)",  # the units' table is first read here
            "decoder": "(voice/contour|decoder)/.*",
        }
        alone = {
            part: [(rule, f"train:{part}" if name == part else "frozen") for name, rule in own.items()]
            for part in PARTS
        }
        stages = alone | {"joint": [("|".join(own.values()), "train:joint")]}
        if self.config.reflow:
            others = [(rule, "frozen") for part, rule in own.items() if part != "decoder"]
            stages["reflow"] = [*others, ("voice/contour/.*", "frozen"), ("decoder/.*", "train:reflow")]
        return {name: [*rules, ("(encoder|teacher)/.*", "frozen")] for name, rules in stages.items()}


def check(config: ConfigDict, path: CondOT) -> None:
    """Makes sure that the section's choices can be had.

    Raises:
        ValueError: one cannot.
    """
    known = {
        **{"speaker_from": ("face", "audio", "none"), "prosody_from": ("face", "none"), "prediction": path.kinds},
        **{"norm": ("l1", "l2"), "times": ("uniform", "logit_normal"), "coupling": ("independent", "minibatch_ot")},
    }
    for name, values in known.items():
        if config[name] not in values:
            raise ValueError(f"system.{name} is {config[name]!r}: expected one of {', '.join(values)}")
    shares = {f"{section}.{name}": config[section][name] for section in ("drop", "teach") for name in config[section]}
    for name, share in (shares | {"smoothing": config.smoothing, "sigma_min": config.sigma_min}).items():
        if not 0 <= share <= 1:
            raise ValueError(f"system.{name} is {share!r}: expected a number from 0 to 1")
    expected = UNITS_PER_FRAME * config.content.width + SPEAKER_DIM
    if config.decoder.condition != expected:
        raise ValueError(
            f"system.decoder.condition is {config.decoder.condition}: expected {expected}, {UNITS_PER_FRAME} times the "
            f"content's width and {SPEAKER_DIM} of the speaker embedding"
        )
    samplers.check(config.sampler, path)
