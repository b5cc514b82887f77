"""DiffV2S (Choi, Hong and Ro 2023, arXiv 2308.07787): speech in the voice that the face suggests.

A frozen AV-HuBERT gives visual features f_v and, by one prompt for each modality, a speaker embedding of what is seen
(s_v) or heard (s_a); section 3.1 trains the prompts alone, so that both agree with each other and with a speaker
encoder's embedding s_G. A diffusion model then makes the mel spectrogram M_0 from noise, given f_v and s_v (3.2), and
sampling may be guided towards speech whose s_a is the face's s_v (3.3).

The paper does not tell how s_v, as wide as the encoder, is compared with s_G of 256 numbers. Here one linear layer
leads from the former to the latter and trains along with the prompts; its unit-norm output is the speaker embedding
in all four terms of the loss, in the guidance and in the decoder's condition. Ours are also the temperature, the
schedule, the drop rate for classifier-free guidance and the sizes other than `paper`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict, FrozenConfigDict

from v2s_jax.constants import CROP_SIZE, SPEAKER_DIM
from v2s_jax.data.batch import Batch
from v2s_jax.features.filterbank import stacked_filterbank_jax
from v2s_jax.features.filters import scale_mel, unscale_mel
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.features.mel_to_filterbank import stacked_filterbank_of_mel
from v2s_jax.generative.losses import WEIGHTINGS, denoising_loss
from v2s_jax.generative.process import build_process
from v2s_jax.generative.times import discrete_times, stratified_times
from v2s_jax.models import avhubert, dit, mel_transformer
from v2s_jax.models.prompts import Prompts
from v2s_jax.models.registry import build_denoiser
from v2s_jax.models.speaker import unit
from v2s_jax.systems import sampler as samplers
from v2s_jax.systems.base import Metrics, Rules, check_crop, frame_mask, normalise_mouth, spoken_mel, stack, unstack
from v2s_jax.systems.info_nce import comparable, info_nce, masked_mean, retrieval

SIZES = {"paper": ("large", "paper"), "base": ("base", "base"), "tiny": ("tiny", "small")}  # of encoder and decoder


def default_config(size: str = "paper", decoder: str = "mel_transformer") -> ConfigDict:
    """The `system` section: every number of the named size, with one of the two decoders."""
    encoder_size, decoder_size = SIZES[size]
    encoder = avhubert.default_config(encoder_size)
    encoder.update({"masking": "none"})
    made = {"mel_transformer": mel_transformer, "dit": dit}[decoder].default_config(decoder_size)
    made.condition = encoder.width + SPEAKER_DIM
    return ConfigDict(
        dict(
            name="diffv2s",
            encoder=encoder,
            decoder=made,
            crop=CROP_SIZE,  # pixels around the centre that it sees; fewer cost less
            speaker="vision",  # whose embedding the decoder is given: the face's, that of the true "audio", or "none"
            temperature=0.07,  # of InfoNCE
            utterances=1,  # neighbouring rows of one speaker in a batch, for the prompts' stage
            process="linear",  # of generative/process.py
            steps=1000,  # of the process in training; 0: continuous time
            prediction="x_0",
            norm="l1",
            weighting="none",
            drop=0.0,  # how often the condition is left out in training, for classifier-free guidance
            sampler=samplers.default_config(),
        )
    )


class Seen(NamedTuple):
    """What the encoder makes of silent clips.

    Attributes:
        frames: visual features f_v.
        speaker: embedding s_v, of unit norm.
    """

    frames: Float[Array, "B T D"]
    speaker: Float[Array, "B 256"]


class DiffV2S(nnx.Module):
    """Encoder, prompts, projection and decoder."""

    kind = "mel"
    fields = frozenset({"mouth", "audio", "speaker_embedding", "speaker_id"})
    free = {"encoder": avhubert.TRAINING_SETTINGS}

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        width = config.encoder.width
        if config.decoder.condition != width + SPEAKER_DIM:
            raise ValueError(
                f"system.decoder.condition is {config.decoder.condition}: expected {width + SPEAKER_DIM}, the "
                f"encoder's width and {SPEAKER_DIM} of the speaker embedding"
            )
        if config.speaker not in ("vision", "audio", "none"):
            raise ValueError(f"system.speaker is {config.speaker!r}: expected vision, audio or none")
        self.config = FrozenConfigDict(config)
        self.inputs = frozenset({"mouth", "audio"} if config.speaker == "audio" else {"mouth"})
        self.crop, self.utterances = check_crop(config.crop), config.utterances
        self.path = build_process(config.process)
        known = {"prediction": self.path.kinds, "norm": ("l1", "l2"), "weighting": WEIGHTINGS}
        for name, values in known.items():
            if config[name] not in values:
                raise ValueError(f"system.{name} is {config[name]!r}: expected one of {', '.join(values)}")
        for name, fits, expected in (
            ("temperature", config.temperature > 0, "a number above 0"),
            ("steps", config.steps >= 0, "0, for continuous time, or more"),
        ):
            if not fits:
                raise ValueError(f"system.{name} is {config[name]!r}: expected {expected}")
        samplers.check(config.sampler, self.path)
        self.knobs, self.limits = samplers.knobs_of(config.sampler), samplers.limits(config.sampler)
        if not config.drop:
            del self.knobs["classifier_free"]  # the decoder never learned to do without the condition
        self.encoder = avhubert.AVHuBERT(config.encoder, rngs=rngs, dtype=dtype)
        self.prompts = Prompts(width, rngs)
        self.project = nnx.Linear(width, SPEAKER_DIM, rngs=rngs)
        self.decoder = build_denoiser(config.decoder, rngs, dtype)
        self.drop = nnx.Dropout(config.drop)

    def see(self, batch: Batch) -> Seen:
        """Visual features and what voice the face suggests."""
        mouth = batch.need("mouth")
        mask = frame_mask(batch.need("length"), mouth.shape[1])
        found = self.prompts(self._calm(), video=normalise_mouth(mouth, self.crop), padding_mask=~mask)
        return Seen(found.frames, self._embedding(found.prompt))

    def hear(self, filterbank: Float[Array, "B T 104"], mask: Bool[Array, "B T"]) -> Float[Array, "B 256"]:
        """The speaker embedding s_a of sound, of unit norm."""
        return self._embedding(self.prompts(self._calm(), audio=filterbank, padding_mask=~mask).prompt)

    def _calm(self) -> avhubert.AVHuBERT:
        """The encoder without its dropout: it is not what trains."""
        return nnx.view(self.encoder, raise_if_not_found=False, deterministic=True)

    def _embedding(self, prompt: jax.Array) -> jax.Array:
        return unit(self.project(prompt))

    def loss(self, batch: Batch, rngs: nnx.Rngs, player: str) -> tuple[Float[Array, ""], Metrics]:
        """That of the stage: "speaker" or "decoder"."""
        return {"speaker": self.speaker_loss, "decoder": self.decoder_loss}[player](batch, rngs)

    def speaker_loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """L_spk_emb = L(s_v, s_G) + L(s_a, s_G) + L(s_v, s_a) + L(s_a, s_v), each InfoNCE (section 3.1)."""
        length = batch.need("length")
        mask = frame_mask(length, batch.need("mouth").shape[1])
        s_v = self.see(batch).speaker
        s_a = self.hear(stacked_filterbank_jax(batch.need("audio"), length), mask)
        s_g = batch.need("speaker_embedding")
        candidates = comparable(batch.need("speaker_id"), length > 0)
        pairs = {"v_g": (s_v, s_g), "a_g": (s_a, s_g), "v_a": (s_v, s_a), "a_v": (s_a, s_v)}
        terms = {name: info_nce(*pair, candidates, self.config.temperature) for name, pair in pairs.items()}
        found = {f"retrieval_{name}": retrieval(*pairs[name], candidates) for name in ("v_g", "a_g")}
        agreement = masked_mean(jnp.sum(s_v * s_a, -1), length > 0)
        return sum(terms.values(), jnp.zeros(())), terms | found | {"agreement": agreement}

    def decoder_loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[Float[Array, ""], Metrics]:
        """L_diff: how far Psi(M_t, t, c) is from M_0 (section 3.2)."""
        config = self.config
        mel = stack(jnp.asarray(scale_mel(log_mel_jax(batch.need("audio")))))
        rows, frames, _ = mel.shape
        mask = frame_mask(batch.need("length"), frames)
        condition = self.condition(batch, self.see(batch))
        condition = condition * (self.drop(jnp.ones((rows, 1, 1)), rngs=rngs) > 0)
        times = rngs.times()
        t = discrete_times(times, rows, config.steps) if config.steps else stratified_times(times, rows)
        loss = denoising_loss(
            lambda x_t, t: self.decoder(x_t, t, condition, mask, rngs),
            self.path,
            mel,
            jax.random.normal(rngs.noise(), mel.shape),
            t,
            kind=config.prediction,
            norm=config.norm,
            weighting=config.weighting,
            mask=mask[..., None],
        )
        return loss, {}

    def condition(self, batch: Batch, seen: Seen) -> Float[Array, "B T K"]:
        """What the decoder is given: f_v || s_v, the latter at the scale of normalised features, for every frame."""
        frames = seen.frames.shape[1]
        match self.config.speaker:
            case "vision":
                speaker = seen.speaker
            case "audio":
                length = batch.need("length")
                heard = stacked_filterbank_jax(batch.need("audio"), length)
                speaker = self.hear(heard, frame_mask(length, frames))
            case _:
                speaker = jnp.zeros_like(seen.speaker)
        repeated = jnp.broadcast_to(SPEAKER_DIM**0.5 * speaker[:, None], (speaker.shape[0], frames, SPEAKER_DIM))
        return jnp.concatenate([seen.frames.astype(jnp.float32), repeated], -1)

    def synthesize(self, batch: Batch, rngs: nnx.Rngs, sampler: samplers.Knobs | None = None) -> Float[Array, "B M 80"]:
        """Unscaled log-mel, the floor beyond each clip's length.

        Args:
            batch: silent video.
            rngs: for the noise, which is the same for every row: a clip sounds alike in any batch.
            sampler: some of `knobs`, in place of what the config says.
        """
        length = batch.need("length")
        seen = self.see(batch)
        condition = self.condition(batch, seen)
        mask = frame_mask(length, condition.shape[1])

        def energy(data: jax.Array) -> jax.Array:
            """G_spk = 1 - cos(s_v, s_a(x_0)), section 3.3."""
            s_a = self.hear(stacked_filterbank_of_mel(jnp.asarray(unscale_mel(unstack(data))), length), mask)
            return 1 - jnp.sum(seen.speaker * s_a, -1)

        x_0 = samplers.run(
            self.config.sampler,
            self.path,
            self.config.prediction,
            self._denoiser(condition, mask, sampler),
            samplers.clip_noise(batch, rngs),
            energy,
            sampler,
        )
        return spoken_mel(unstack(x_0), length)

    def _denoiser(self, condition: jax.Array, mask: jax.Array, knobs: samplers.Knobs | None) -> samplers.Denoiser:
        """The decoder, with classifier-free guidance if it was trained for that."""
        if not self.config.drop:
            return lambda x_t, t: self.decoder(x_t, t, condition, mask)
        scale = jnp.asarray((self.knobs | dict(knobs or {}))["classifier_free"], jnp.float32)
        return samplers.conditional(self.decoder, condition, mask, scale)

    def stages(self) -> dict[str, Rules]:
        """First the prompts and their projection, then the decoder; the encoder stays as it is."""
        return {
            "speaker": [("(prompts|project)/.*", "train:speaker"), ("(encoder|decoder)/.*", "frozen")],
            "decoder": [("decoder/.*", "train:decoder"), ("(encoder|prompts|project)/.*", "frozen")],
        }
