"""AV-HuBERT (Shi et al. 2022, arXiv 2201.02184): mouth video and sound to one vector a frame, 25 a second.

A ResNet reads the mouth, a linear layer the stacked filterbanks; the two are concatenated (or added) and a transformer
puts them in context. A modality that is not given is zero after its projection, as it is when dropped in training.
Pre-training hides spans of frames and has the encoder name the clusters of what was there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict, FrozenConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.models.masking import cosine_logits, other_span, span_mask
from v2s_jax.models.remat import KEEP_ALL
from v2s_jax.models.resnet import ResNetFrontend
from v2s_jax.models.transformer import TransformerEncoder, layer_norm

SIZES = {
    "tiny": dict(resnet=(8, 16, 24, 32), layers=2, width=64, hidden=256, heads=4, conv_pos=32, conv_pos_groups=4),
    "base": dict(
        resnet=(64, 128, 256, 512), layers=12, width=768, hidden=3072, heads=12, conv_pos=128, conv_pos_groups=16
    ),
    "large": dict(
        resnet=(64, 128, 256, 512), layers=24, width=1024, hidden=4096, heads=16, conv_pos=128, conv_pos_groups=16
    ),
}
# What says how an encoder is trained or computed, or what its head is like, and not how it encodes.
TRAINING_SETTINGS = frozenset(
    {"dropout", "attention_dropout", "activation_dropout", "layerdrop", "dropout_input", "feature_grad_mult"}
    | {"masking", "mask_prob_video", "mask_length_video", "mask_prob_audio", "mask_length_audio", "mask_selection"}
    | {"modality_dropout", "audio_dropout", "num_classes", "final_proj", "final_dim", "temperature", "remat", "scan"}
)
Video = Float[Array, "B T H W 1"] | Float[Array, "B T H W"]


def default_config(size: str = "base") -> ConfigDict:
    """Every number of the named size, as the released models were made (iteration 5 of their pre-training).

    Some keys want a word: `masking` is "input" (the raw frames are replaced; the fifth iteration), "feature" (the fused
    features are; those before) or "none" (there is no `mask_emb`); `mask_selection` is where a hidden video frame's
    replacement comes from, "same_seq" or "same_other_seq"; `num_classes` is the number of rows of the table of label
    embeddings, 0 for no table, and `final_proj` whether there is a projection onto their `final_dim` numbers.
    """
    return ConfigDict(
        dict(
            name="avhubert",
            activation="prelu",
            audio_dim=104,
            fusion="concat",
            norm_first=True,
            dropout=0.1,
            attention_dropout=0.1,
            activation_dropout=0.0,
            layerdrop=0.05,
            dropout_input=0.1,
            feature_grad_mult=0.1,
            masking="input",
            mask_prob_video=0.3,
            mask_length_video=5,
            mask_prob_audio=0.8,
            mask_length_audio=10,
            mask_selection="same_seq",
            modality_dropout=0.5,
            audio_dropout=0.5,
            num_classes=0,
            final_proj=False,
            final_dim=256,
            temperature=0.1,
            scan=True,
            remat=KEEP_ALL,
            **SIZES[size],
        )
    )


class Prediction(NamedTuple):
    """What pre-training has to say of a batch.

    Attributes:
        logits: of every frame's cluster, float32.
        hidden: where frames were hidden from one modality or both.
        penalty: mean square of the features before fusion, which pre-training adds to the loss, times 10.
        features: what the logits were read from.
    """

    logits: Float[Array, "B T K"]
    hidden: Bool[Array, "B T"]
    penalty: Float[Array, ""]
    features: Float[Array, "B T D"]


class AVHuBERT(nnx.Module):
    """The encoder, with its head for pre-training where the config has one."""

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.config, self.dtype = FrozenConfigDict(config), dtype
        width, fused = config.width, config.width * {"concat": 2, "add": 1}[config.fusion]
        self.frontend = ResNetFrontend(tuple(config.resnet), config.activation, dtype, rngs)
        self.video_proj = nnx.Linear(self.frontend.width, width, dtype=dtype, rngs=rngs)
        self.audio_proj = nnx.Linear(config.audio_dim, width, dtype=dtype, rngs=rngs)
        self.norm = layer_norm(fused, rngs)
        if config.fusion == "concat":
            self.fuse_proj = nnx.Linear(fused, width, dtype=dtype, rngs=rngs)
        self.dropout_input = nnx.Dropout(config.dropout_input)
        self.modality_dropout = nnx.Dropout(config.modality_dropout)
        self.encoder = TransformerEncoder(config, dtype, rngs)
        if config.masking != "none":
            hidden_dim = {"input": config.audio_dim, "feature": width}[config.masking]
            self.mask_emb = nnx.Param(jax.random.uniform(rngs.params(), (hidden_dim,)))
        if config.final_proj:
            self.final_proj = nnx.Linear(width, config.final_dim, dtype=dtype, rngs=rngs)
        if config.num_classes:
            self.label_embs = nnx.Param(jax.random.uniform(rngs.params(), (config.num_classes, config.final_dim)))

    def __call__(
        self,
        video: Video | None = None,
        audio: Float[Array, "B T F"] | None = None,
        padding_mask: Bool[Array, "B T"] | None = None,
        layer: int | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B T D"]:
        """Encodes clips by what they show, by what is heard, or by both.

        Args:
            video: mouth crops of 88x88, (grey / 255 - mean) / std; H and W are multiples of 4.
            audio: four stacked filterbank frames a step, normalised over each step (`features/filterbank.py`).
            padding_mask: True where there is padding, which comes last and changes nothing. None: no padding.
            layer: from 1: stop after this layer, and give what it gives (with pre-norm layers that is not
                normalised). None: the encoder's output.
            rngs: a `dropout` stream when training, None otherwise.

        Returns:
            One vector a frame; at padded frames it is meaningless.

        Raises:
            V2SError: no modality is given, or two of different lengths.
        """
        return self.encoder(*self.frames(video, audio, padding_mask, rngs), layer, rngs)

    def frames(
        self,
        video: Video | None = None,
        audio: Float[Array, "B T F"] | None = None,
        padding_mask: Bool[Array, "B T"] | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> tuple[Float[Array, "B T D"], Bool[Array, "B T"]]:
        """What the transformer reads, and True where it is not padding; arguments as of `__call__`."""
        mask = self._mask(video, audio, padding_mask)
        return self._fuse(*self._features(video, audio, mask), rngs), mask

    def states(
        self,
        video: Video | None = None,
        audio: Float[Array, "B T F"] | None = None,
        padding_mask: Bool[Array, "B T"] | None = None,
    ) -> Float[Array, "_ B T D"]:
        """What the first layer reads, and then what every layer gives; arguments as of `__call__`."""
        return self.encoder.states(*self.frames(video, audio, padding_mask))

    def predict(
        self,
        video: Video,
        audio: Float[Array, "B T F"],
        padding_mask: Bool[Array, "B T"] | None,
        rngs: nnx.Rngs,
    ) -> Prediction:
        """Hides spans and names the clusters; modalities are dropped in training alone, clip by clip.

        (AV-HuBERT's code drops a modality from a whole batch at a time, which on many devices would be all of them.)

        Args:
            video: as of `__call__`.
            audio: likewise.
            padding_mask: likewise.
            rngs: streams `mask` and `dropout`.

        Raises:
            V2SError: the config has no head, or no masking.
        """
        config = self.config
        if not (config.num_classes and config.final_proj) or config.masking == "none":
            raise V2SError("pre-training needs an AV-HuBERT with masking, num_classes and final_proj set in its config")
        mask = self._mask(video, audio, padding_mask)
        hidden = jnp.zeros_like(mask)
        if config.masking == "input":
            video, hidden_video = self._hide_video(video, mask, rngs)
            hidden_audio = span_mask(rngs.mask(), mask, config.mask_prob_audio, config.mask_length_audio)
            audio = jnp.where(hidden_audio[..., None], self.mask_emb[...].astype(audio.dtype)[None, None], audio)
            hidden = hidden_video | hidden_audio
        heard, seen = (_scale_gradient(x, config.feature_grad_mult) for x in self._features(video, audio, mask))
        heard, seen = self._drop_modality(heard, seen, rngs)
        penalty = _mean_square(jnp.concatenate([heard, seen], -1) if config.fusion == "concat" else heard + seen, mask)
        x = self._fuse(heard, seen, rngs)
        if config.masking == "feature":
            hidden = span_mask(rngs.mask(), mask, config.mask_prob_video, config.mask_length_video)
            x = jnp.where(hidden[..., None], self.mask_emb[...].astype(x.dtype)[None, None], x)
        x = self.encoder(x, mask, rngs=rngs)
        logits = cosine_logits(self.final_proj(x), self.label_embs[...], config.temperature)
        return Prediction(logits, hidden, penalty, x)

    def _mask(self, video: jax.Array | None, audio: jax.Array | None, padding_mask: jax.Array | None) -> jax.Array:
        given = [x for x in (video, audio, padding_mask) if x is not None]
        if video is None and audio is None:
            raise V2SError("AV-HuBERT was given nothing to encode: pass video, audio or both")
        if len({x.shape[:2] for x in given}) > 1:
            raise V2SError(
                "AV-HuBERT's video, audio and padding_mask must have the same [B, T], "
                f"but are {', '.join(str(x.shape[:2]) for x in given)}"
            )
        return jnp.ones(given[0].shape[:2], bool) if padding_mask is None else ~padding_mask

    def _features(
        self, video: jax.Array | None, audio: jax.Array | None, mask: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """What is heard and what is seen, projected, [B, T, D] each."""
        nothing = jnp.zeros((*mask.shape, self.config.width), self.dtype)
        heard = nothing if audio is None else self.audio_proj(audio)
        seen = nothing
        if video is not None:
            seen = self.video_proj(self.frontend(video[..., 0] if video.ndim == 5 else video, mask))
        return heard, seen

    def _fuse(self, heard: jax.Array, seen: jax.Array, rngs: nnx.Rngs | None) -> jax.Array:
        if self.config.fusion == "concat":
            x = self.fuse_proj(self.norm(jnp.concatenate([heard, seen], -1)))
        else:
            x = self.norm(heard + seen).astype(self.dtype)
        return self.dropout_input(x, rngs=rngs)

    def _hide_video(self, video: jax.Array, mask: jax.Array, rngs: nnx.Rngs) -> tuple[jax.Array, jax.Array]:
        """The video with hidden frames replaced by others, of the same clip or of another."""
        hidden = span_mask(rngs.mask(), mask, self.config.mask_prob_video, self.config.mask_length_video)
        per_frame = (..., *(None,) * (video.ndim - 2))
        if self.config.mask_selection == "same_seq":
            source = other_span(rngs.mask(), hidden, mask)
            return jnp.take_along_axis(video, source[per_frame], axis=1), hidden
        rows = video.shape[0]
        step = jax.random.randint(rngs.mask(), (), 1, max(rows, 2))
        video = jnp.where(mask[per_frame], video, 0)  # whose padding may be seen in another clip
        others = video[(jnp.arange(rows) + step) % rows] if rows > 1 else jnp.zeros_like(video)
        return jnp.where(hidden[per_frame], others, video), hidden

    def _drop_modality(self, heard: jax.Array, seen: jax.Array, rngs: nnx.Rngs) -> tuple[jax.Array, jax.Array]:
        dropped = self.modality_dropout(jnp.ones((heard.shape[0], 1, 1)), rngs=rngs) == 0
        deaf = jax.random.bernoulli(rngs.dropout(), self.config.audio_dropout, dropped.shape)
        return jnp.where(dropped & deaf, 0, heard), jnp.where(dropped & ~deaf, 0, seen)


def _scale_gradient(x: jax.Array, scale: float) -> jax.Array:
    """The same values, with the gradient times `scale`."""
    constant = lax.stop_gradient(x)
    return constant + scale * (x - constant)


def _mean_square(x: jax.Array, mask: jax.Array) -> jax.Array:
    squares = jnp.where(mask[..., None], x.astype(jnp.float32) ** 2, 0)
    return squares.sum() / jnp.maximum(mask.sum() * x.shape[-1], 1)
