"""HuBERT (Hsu et al. 2021, arXiv 2106.07447) and wav2vec 2.0's encoder: 16 kHz speech to one vector every 20 ms.

Seven strided convolutions, then a transformer. Base normalises the first convolution's channels over time and puts its
transformer's norms after each part; Large normalises every frame after every convolution, has pre-norm layers and wants
its waveform normalised (`normalise_waveform`).

The published encoder sees padding in one place: Base's norm over time. `exact_padding` keeps to each clip's own frames
there; then a padded clip gives what it gives alone, and not what the published code gives for it.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict, FrozenConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.models.gelu import gelu
from v2s_jax.models.remat import KEEP_ALL
from v2s_jax.models.transformer import TransformerEncoder, layer_norm

CONVS = ((512, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2)  # channels, taps, stride: 320 samples to a frame
SIZES = {
    "tiny": dict(
        convs=((32, 10, 5), *((32, 3, 2),) * 4, *((32, 2, 2),) * 2),
        layers=2,
        width=64,
        hidden=256,
        heads=4,
        conv_pos=32,
        conv_pos_groups=4,
    ),
    "base": dict(convs=CONVS, layers=12, width=768, hidden=3072, heads=12, conv_pos=128, conv_pos_groups=16),
    "large": dict(convs=CONVS, layers=24, width=1024, hidden=4096, heads=16, conv_pos=128, conv_pos_groups=16),
}


def default_config(size: str = "base") -> ConfigDict:
    """Every number of the named size, as the released models were made.

    Some keys want a word: `conv_norm` is "group" or "layer"; `normalise` says whether the waveform is to be normalised
    before the call, which does not do it; `mask_emb`, `final_proj`, `final_dim` and `num_classes` (rows of the table of
    label embeddings, 0 for none) describe what a file may hold beside the encoder.
    """
    large = size == "large"
    return ConfigDict(
        dict(
            name="hubert",
            conv_norm="layer" if large else "group",
            conv_bias=large,
            feature_norm=True,
            feature_proj=True,
            normalise=large,
            norm_first=large,
            dropout=0.0 if large else 0.1,
            attention_dropout=0.0 if large else 0.1,
            activation_dropout=0.0,
            layerdrop=0.0 if large else 0.05,
            dropout_input=0.0 if large else 0.1,
            mask_emb=False,
            num_classes=0,
            final_proj=False,
            final_dim=256,
            scan=True,
            remat=KEEP_ALL,
            **SIZES[size],
        )
    )


def count_frames(samples: Int[Array, "*B"] | int, convs: tuple[tuple[int, int, int], ...] = CONVS):
    """How many frames lie wholly inside so many samples: (n - taps) // stride + 1 for each convolution in turn.

    For the released models that is (n - 80) // 320, or 0: 49 for a second.
    """
    for _, taps, stride in convs:
        samples = (samples - taps) // stride + 1
    return jnp.maximum(samples, 0) if isinstance(samples, jax.Array) else max(samples, 0)


def normalise_waveform(
    waveform: Float[Array, "B N"], padding_mask: Bool[Array, "B N"] | None = None, epsilon: float = 1e-7
) -> Float[Array, "B N"]:
    """Zero mean and unit variance for each clip, zeros where there is padding.

    Args:
        waveform: samples.
        padding_mask: True where there is padding.
        epsilon: added to the variance: 1e-7 in `transformers`, 1e-5 in fairseq.
    """
    mask = jnp.ones(waveform.shape, bool) if padding_mask is None else ~padding_mask
    count = jnp.maximum(mask.sum(1, keepdims=True), 1)
    mean = jnp.sum(jnp.where(mask, waveform, 0), 1, keepdims=True) / count
    centred = jnp.where(mask, waveform - mean, 0)
    return centred / jnp.sqrt(jnp.sum(centred**2, 1, keepdims=True) / count + epsilon)


class TimeNorm(nnx.Module):
    """Every channel to zero mean and unit variance over time (a group norm with a group to each channel), float32."""

    def __init__(self, width: int):
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "B T C"], mask: Bool[Array, "B T"] | None) -> Float[Array, "B T C"]:
        """The statistics are of the frames where `mask` is True; None: of all."""
        x = x.astype(jnp.float32)
        where = jnp.ones(x.shape[:2], bool)[..., None] if mask is None else mask[..., None]
        count = jnp.maximum(where.sum(1, keepdims=True), 1)  # a row of padding alone must not give NaN
        mean = jnp.sum(jnp.where(where, x, 0), 1, keepdims=True) / count
        variance = jnp.sum(jnp.where(where, (x - mean) ** 2, 0), 1, keepdims=True) / count
        scale = self.scale[...][None, None] * lax.rsqrt(variance + 1e-5)
        return x * scale + (self.bias[...][None, None] - mean * scale)  # so that a CPU need not keep x - mean


class ConvBlock(nnx.Module):
    """A strided convolution, a norm or none, GELU."""

    def __init__(
        self, width_in: int, shape: tuple[int, int, int], norm: str, bias: bool, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        width, taps, self.stride = shape
        self.norm_kind, self.dtype = norm, dtype
        init = nnx.initializers.he_normal()
        self.kernel = nnx.Param(init(rngs.params(), (taps, width_in, width), jnp.float32))
        if bias:
            self.bias = nnx.Param(jnp.zeros(width))
        if norm != "none":
            self.norm: Any = TimeNorm(width) if norm == "group" else layer_norm(width, rngs)

    def __call__(self, x: Float[Array, "B N C"], mask: Bool[Array, "B T"] | None) -> Float[Array, "B T O"]:
        """Strides over the samples; `mask`, if any, is what a norm over time may look at."""
        kernel = self.kernel[...].astype(self.dtype)
        y = lax.conv_general_dilated(x, kernel, (self.stride,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))
        if hasattr(self, "bias"):
            y = y + self.bias[...].astype(y.dtype)[None, None]
        if self.norm_kind == "group":
            y = self.norm(y, mask).astype(self.dtype)
        elif self.norm_kind == "layer":
            y = self.norm(y).astype(self.dtype)
        return gelu(y)


class HuBERT(nnx.Module):
    """The encoder; weights that files hold beside it are kept so that nothing is lost in an export."""

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.config, self.dtype, self.folded = FrozenConfigDict(config), dtype, False
        blocks, width = [], 1
        for index, shape in enumerate(self.config.convs):
            norm = "none" if config.conv_norm == "group" and index else config.conv_norm
            blocks.append(ConvBlock(width, shape, norm, config.conv_bias, dtype, rngs))
            width = shape[0]
        self.convs = nnx.List(blocks)
        if config.feature_norm:
            self.feature_norm = layer_norm(width, rngs)
        if config.feature_proj:
            self.feature_proj = nnx.Linear(width, config.width, dtype=dtype, rngs=rngs)
        self.dropout_input = nnx.Dropout(config.dropout_input)
        self.encoder = TransformerEncoder(config, dtype, rngs)
        if config.mask_emb:
            self.mask_emb = nnx.Param(jax.random.uniform(rngs.params(), (config.width,)))
        if config.final_proj:
            self.final_proj = nnx.Linear(config.width, config.final_dim, dtype=dtype, rngs=rngs)
        if config.num_classes:
            self.label_embs = nnx.Param(jax.random.uniform(rngs.params(), (config.num_classes, config.final_dim)))

    def __call__(
        self,
        waveform: Float[Array, "B N"],
        padding_mask: Bool[Array, "B N"] | None = None,
        layer: int | None = None,
        exact_padding: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B T D"]:
        """Encodes speech.

        Args:
            waveform: 16 kHz samples in [-1, 1], normalised if the config says `normalise`; zeros where padded.
            padding_mask: True where there is padding, which comes last. None: no padding.
            layer: from 1: stop after this layer, and give what it gives (with pre-norm layers that is not
                normalised). None: the encoder's output.
            exact_padding: whether the norm over time of group-norm models looks at each clip alone. False: at its
                padding too, as the published code does. Others never look at padding.
            rngs: a `dropout` stream when training, None otherwise.

        Returns:
            One vector to `count_frames` of the samples; `frame_padding` says which of them are padding.

        Raises:
            V2SError: the waveform is too short for one frame.
        """
        x, mask = self._features(waveform, padding_mask, exact_padding)
        return self.encoder(self.dropout_input(x, rngs=rngs), mask, layer, rngs)

    def states(
        self,
        waveform: Float[Array, "B N"],
        padding_mask: Bool[Array, "B N"] | None = None,
        exact_padding: bool = False,
    ) -> Float[Array, "_ B T D"]:
        """What the first layer reads, and then what every layer gives; arguments as of `__call__`."""
        return self.encoder.states(*self._features(waveform, padding_mask, exact_padding))

    def frame_padding(self, padding_mask: Bool[Array, "B N"]) -> Bool[Array, "B T"]:
        """True at the frames that do not lie wholly inside their clip."""
        return ~self._frame_mask(padding_mask, len(self.config.convs))

    def _frame_mask(self, padding_mask: jax.Array, depth: int) -> jax.Array:
        """True at the valid frames after so many convolutions."""
        convs = self.config.convs[:depth]
        frames = count_frames(jnp.sum(~padding_mask, axis=1), convs)
        return jnp.arange(count_frames(padding_mask.shape[1], convs))[None] < frames[:, None]

    def fold(self) -> None:
        """Lets a CPU take the convolutions row by row, whose first outputs are large."""
        self.folded = True

    def _convolved(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """The last convolution's output; `mask` is of the first, the only one that can have a norm over time."""

        def together(x, mask):
            for index, conv in enumerate(self.convs):
                x = conv(x, None if index else mask)
            return x

        def row_by_row(x, mask):
            return lax.map(lambda row: together(*jax.tree.map(lambda part: part[None], row))[0], (x, mask))

        if not self.folded or len(x) == 1:
            return together(x, mask)
        return lax.platform_dependent(x, mask, cpu=row_by_row, default=together)

    def _features(
        self, waveform: jax.Array, padding_mask: jax.Array | None, exact_padding: bool
    ) -> tuple[jax.Array, jax.Array]:
        """What the transformer reads and where it is not padding."""
        frames = count_frames(waveform.shape[1], self.config.convs)
        if not frames:
            raise V2SError(f"a waveform of {waveform.shape[1]} samples is too short for HuBERT: 400 make one frame")
        within = self._frame_mask(padding_mask, 1) if exact_padding and padding_mask is not None else None
        x = self._convolved(waveform.astype(self.dtype)[..., None], within)
        if self.config.feature_norm:
            x = self.feature_norm(x)
        if self.config.feature_proj:
            x = self.feature_proj(x)
        if padding_mask is None:
            return x, jnp.ones((waveform.shape[0], frames), bool)
        return x, self._frame_mask(padding_mask, len(self.config.convs))
