"""Matcha-TTS's decoder (Mehta et al. 2024, arXiv 2309.03199): a U-Net over time of convolutions and transformer blocks.

It convolves over true mel frames: stacked frames are taken apart first, and the condition of a video frame goes through
a linear layer with outputs of their own for each of its mel frames (to repeat it is what equal outputs would do).

A clip in a padded batch is denoised as it is alone, where the original's is not (its group norms see padded frames, and
its mask reaches attention as a bias of 1). Here group norms are over a clip's own frames: it is what the original does
for one clip, and per-frame norms would hide how loud a frame is beside others. Every convolution reads zeros beyond the
clip, which is what it finds there when the clip is alone; half as many frames, rounded up, are left after a stride of
2; and a number of frames that cannot be halved so often is padded until it can, with frames that the mask leaves out.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, N_MELS
from v2s_jax.models import attention, ops1d
from v2s_jax.models.masked_norm import MaskedGroupNorm
from v2s_jax.models.remat import KEEP_ALL, policy_name, remat
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.rows import keep_rows
from v2s_jax.models.snake import SnakeBeta
from v2s_jax.models.time_embedding import TimeEmbedding
from v2s_jax.models.transformer import layer_norm

_TAPS = 3
SIZES = {
    "base": dict(widths=(256, 256), blocks=1),  # as Matcha-TTS
    "large": dict(widths=(512, 512), blocks=2),
    "small": dict(widths=(128, 128), blocks=1),
}


def default_config(size: str = "base") -> ConfigDict:
    """Every number of the named size.

    `condition` is the width of what it is conditioned on, `unstack` the mel frames to a frame given, `widths` the
    channels of each level (each at half the rate of the one before), `blocks` the transformer blocks to a level,
    `middle` the levels between down and up, `expansion` how much wider the blocks' feed-forward part is, `remat` what
    of a level is kept for the backward pass (see `remat.py`).
    """
    fixed = dict(name="unet1d", channels=MEL_PER_FRAME * N_MELS, condition=1024, unstack=MEL_PER_FRAME)
    parts = dict(middle=2, heads=2, head_dim=64, expansion=4, groups=8)
    return ConfigDict(fixed | SIZES[size] | parts | dict(dropout=0.05, remat=KEEP_ALL))


class Conv(nnx.Module):
    """Convolution over time of three taps; frames where `mask` is False are read as zeros.

    Args:
        width_in: channels.
        width: channels.
        stride: 1 or 2.
        dtype: of the computation.
        rngs: for the initial weights.
    """

    def __init__(self, width_in: int, width: int, stride: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.stride, self.dtype = stride, dtype
        init = nnx.initializers.lecun_normal(in_axis=(0, 1))
        self.kernel = nnx.Param(init(rngs.params(), (_TAPS, width_in, width), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "B T I"], mask: Bool[Array, "B T"]) -> Float[Array, "B t O"]:
        """Convolves: ceil(T / stride) frames, centred on every `stride`-th."""
        x = jnp.where(mask[..., None], x, 0).astype(self.dtype)
        y = ops1d.conv1d(x, self.kernel[...].astype(self.dtype), self.stride, _TAPS // 2)
        return y + self.bias[...].astype(self.dtype)[None, None]


class Stretch(nnx.Module):
    """Transposed convolution of four taps and stride 2: twice as many frames; masked as in `Conv`."""

    def __init__(self, width: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype = dtype
        init = nnx.initializers.variance_scaling(2.0, "fan_in", "normal", in_axis=(0, 1))  # two taps reach a frame
        self.kernel = nnx.Param(init(rngs.params(), (4, width, width), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"]) -> Float[Array, "B 2*T D"]:
        """Convolves."""
        x = jnp.where(mask[..., None], x, 0).astype(self.dtype)
        y = ops1d.conv_transpose1d(x, self.kernel[...].astype(self.dtype), 2, 1)
        return y + self.bias[...].astype(self.dtype)[None, None]


class ResBlock(nnx.Module):
    """Convolution, norm and Mish, twice, the time added between; plus the input."""

    def __init__(self, width_in: int, width: int, time: int, groups: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype = dtype
        self.conv1, self.norm1 = Conv(width_in, width, 1, dtype, rngs), MaskedGroupNorm(width, groups)
        self.time = nnx.Linear(time, width, dtype=dtype, rngs=rngs)
        self.conv2, self.norm2 = Conv(width, width, 1, dtype, rngs), MaskedGroupNorm(width, groups)
        self.skip = nnx.Linear(width_in, width, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B T I"], time: Float[Array, "B K"], mask: Bool[Array, "B T"]
    ) -> Float[Array, "B T O"]:
        """The frames after this block."""
        y = jax.nn.mish(self.norm1(self.conv1(x, mask), mask)).astype(self.dtype)
        y = y + self.time(time)[:, None]
        return self.skip(x) + jax.nn.mish(self.norm2(self.conv2(y, mask), mask)).astype(self.dtype)


class AttentionBlock(nnx.Module):
    """Self-attention and a feed-forward part with snakes, each of normed frames and added to them."""

    def __init__(self, width: int, config: ConfigDict, dtype: DTypeLike, rngs: nnx.Rngs):
        self.heads, inner, hidden = config.heads, config.heads * config.head_dim, config.expansion * width
        self.attention_norm, self.final_norm = layer_norm(width, rngs), layer_norm(width, rngs)
        self.qkv = nnx.Linear(width, 3 * inner, use_bias=False, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(inner, width, dtype=dtype, rngs=rngs)
        self.widen, self.snake = nnx.Linear(width, hidden, dtype=dtype, rngs=rngs), SnakeBeta(hidden)
        self.narrow = nnx.Linear(hidden, width, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)

    def __call__(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], rngs: nnx.Rngs | None
    ) -> Float[Array, "B T D"]:
        """The frames after this block; those where `mask` is False are read by nobody."""
        x = x + self.dropout(self._attend(self.attention_norm(x), mask), rngs=rngs)
        hidden = self.dropout(self.snake(self.widen(self.final_norm(x))), rngs=rngs)
        return x + self.narrow(hidden)

    def _attend(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        query, key, value = (part.reshape(*x.shape[:2], self.heads, -1) for part in jnp.split(self.qkv(x), 3, axis=-1))
        scores = attention.similarities(query * query.shape[-1] ** -0.5, key)
        found = attention.read(scores, value, mask, dropout=lambda weights: weights)
        return self.out(found.reshape(*x.shape[:2], -1))


class Level(nnx.Module):
    """What happens at one rate: a residual block and some transformer blocks."""

    def __init__(self, width_in: int, width: int, config: ConfigDict, dtype: DTypeLike, rngs: nnx.Rngs):
        self.mix = ResBlock(width_in, width, config.widths[0], config.groups, dtype, rngs)
        self.blocks = nnx.List([AttentionBlock(width, config, dtype, rngs) for _ in range(config.blocks)])

    def __call__(
        self, x: Float[Array, "B T I"], time: Float[Array, "B K"], mask: Bool[Array, "B T"], rngs: nnx.Rngs | None
    ) -> Float[Array, "B T O"]:
        """The frames after this level."""
        x = self.mix(x, time, mask)
        for block in self.blocks:
            x = block(x, mask, rngs)
        return x


class UNet1d(nnx.Module):
    """Noisy mel, time and condition to a prediction; at first always 0.

    Args:
        config: see `default_config`.
        rngs: for the initial weights.
        dtype: of the computation; parameters, norms, softmax and predictions are float32.

    Raises:
        ValueError: the channels cannot be unstacked so, or a width not be split into the groups.
        V2SError: there is no such policy of `remat`.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        widths, unstack = tuple(config.widths), config.unstack
        _check(config)
        self.unstack, self.remat, self.dtype, self.levels = unstack, policy_name(config.remat), dtype, len(widths)
        self.see = nnx.Linear(config.condition, unstack * widths[0], dtype=dtype, rngs=rngs)
        self.time = TimeEmbedding(widths[0], dtype, rngs)
        ins = (config.channels // unstack + widths[0], *widths[:-1])
        outs = (*widths[-2::-1], widths[0])  # of the levels up
        last = self.levels - 1

        def level(width_in: int, width: int) -> Level:
            return Level(width_in, width, config, dtype, rngs)

        self.down = nnx.List([level(*sizes) for sizes in zip(ins, widths, strict=True)])
        self.shrink = nnx.List([Conv(w, w, 1 if i == last else 2, dtype, rngs) for i, w in enumerate(widths)])
        self.middle = nnx.List([level(widths[-1], widths[-1]) for _ in range(config.middle)])
        self.up = nnx.List([level(2 * w, out) for w, out in zip(widths[::-1], outs, strict=True)])
        self.grow = nnx.List(
            [*(Stretch(w, dtype, rngs) for w in outs[:-1]), Conv(widths[0], widths[0], 1, dtype, rngs)]
        )
        self.conv, self.norm = Conv(widths[0], widths[0], 1, dtype, rngs), MaskedGroupNorm(widths[0], config.groups)
        zeros = nnx.initializers.zeros
        self.out = nnx.Linear(widths[0], config.channels // unstack, kernel_init=zeros, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x_t: Float[Array, "B T C"],
        time: Float[Array, "B"],
        condition: Float[Array, "B T K"],
        mask: Bool[Array, "B T"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B T C"]:
        """Predicts, for whatever process; frames where `mask` is False change nothing and what they get is meaningless.

        Args:
            x_t: noisy stacked mel.
            time: of each row, in [0, 1].
            condition: of each frame.
            mask: True where there is a frame; the others come last.
            rngs: a `dropout` stream when training, None otherwise.
        """
        batch, frames = mask.shape
        steps = frames * self.unstack
        seen = self.see(condition).reshape(batch, steps, -1)
        x = jnp.concatenate([x_t.reshape(batch, steps, -1).astype(self.dtype), seen], axis=-1)
        more = -steps % 2 ** (self.levels - 1)
        x = jnp.pad(x, ((0, 0), (0, more), (0, 0)))
        valid = jnp.pad(jnp.repeat(mask, self.unstack, axis=1), ((0, 0), (0, more)))
        x = self._run(x, jax.nn.mish(self.time(time)), valid, rngs)
        x = jax.nn.mish(self.norm(self.conv(x, valid), valid)).astype(self.dtype)
        return self.out(x[:, :steps]).astype(jnp.float32).reshape(x_t.shape)

    def _run(self, x: jax.Array, time: jax.Array, mask: jax.Array, rngs: nnx.Rngs | None) -> jax.Array:
        """Down, through the middle and up again, where each level reads what that of its rate gave on the way down."""
        masks, kept = [mask], []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            kept.append(self._through(level, x, time, masks[-1], rngs))
            x = shrink(kept[-1], masks[-1])
            masks.append(masks[-1][:, :: shrink.stride])
        masks.pop()
        for level in self.middle:
            x = self._through(level, x, time, masks[-1], rngs)
        for level, grow in zip(self.up, self.grow, strict=True):
            mask = masks.pop()
            x = self._through(level, jnp.concatenate([x, kept.pop()], axis=-1), time, mask, rngs)
            x = grow(x, mask)
        return x

    def _through(
        self, level: Level, x: jax.Array, time: jax.Array, mask: jax.Array, rngs: nnx.Rngs | None
    ) -> jax.Array:
        """A level, of which `remat` says what is kept for the backward pass."""

        def run(level: Level, x: jax.Array, *key: jax.Array) -> jax.Array:
            return level(x, time, mask, Rngs(dropout=key[0]) if key else None)

        keys = () if rngs is None else (rngs.dropout(),)
        return remat(run, self.remat)(level, keep_rows(x), *keys)


def _check(config: ConfigDict) -> None:
    if config.channels % config.unstack:
        raise ValueError(f"channels {config.channels} is no multiple of unstack {config.unstack}")
    if not config.widths or any(width % config.groups or width % 2 for width in config.widths):
        raise ValueError(f"widths {tuple(config.widths)} are not even multiples of {config.groups} groups")
