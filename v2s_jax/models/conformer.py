"""Conformer encoder (Gulati et al. 2020, arXiv 2005.08100) with relative positions (Dai et al. 2019, 1901.02860)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from v2s_jax.models import attention, ops
from v2s_jax.models.constants import LONGEST
from v2s_jax.models.remat import KEEP_ALL, policy_name, remat
from v2s_jax.models.resnet import masked_batch_norm
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.rows import keep_rows

Norm = Callable[[int, nnx.Rngs], Any]  # a batch norm of some width


def layer_norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Layer norm as PyTorch's (eps 1e-5), in float32."""
    return nnx.LayerNorm(width, epsilon=1e-5, dtype=jnp.float32, rngs=rngs)


def relative_positions(frames: int, width: int) -> Float[np.ndarray, "_ D"]:
    """Sinusoids of the distances T-1 ... -(T-1), sine and cosine interleaved."""
    distance = np.arange(frames - 1, -frames, -1.0)[:, None]
    angle = distance * np.exp(-np.log(LONGEST) * np.arange(0, width, 2) / width)[None]
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(2 * frames - 1, width).astype(np.float32)


def relative_shift(scores: Float[Array, "B H T 2*T-1"]) -> Float[Array, "B H T T"]:
    """Turns scores by distance (from T-1 down) into scores by key: out[i, j] = scores[i, T-1-i+j]."""
    batch, heads, frames, distances = scores.shape
    padded = jnp.pad(scores, ((0, 0), (0, 0), (0, 0), (1, 0)))
    shifted = padded.reshape(batch, heads, distances + 1, frames)[:, :, 1:].reshape(scores.shape)
    return shifted[..., :frames]


class FeedForward(nnx.Module):
    """Norm, widen, swish, narrow."""

    def __init__(self, width: int, hidden: int, dropout: float, dtype: DTypeLike, rngs: nnx.Rngs):
        self.norm = layer_norm(width, rngs)
        self.widen = nnx.Linear(width, hidden, dtype=dtype, rngs=rngs)
        self.narrow = nnx.Linear(hidden, width, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(dropout)

    def __call__(self, x: Float[Array, "B T D"], rngs: nnx.Rngs | None) -> Float[Array, "B T D"]:
        """The update, without the residual."""
        hidden = self.dropout(jax.nn.swish(self.widen(self.norm(x))), rngs=rngs)
        return self.dropout(self.narrow(hidden), rngs=rngs)


class RelativeAttention(nnx.Module):
    """Self-attention whose scores add a learned function of the distance (Transformer-XL's u, v and W_k,R)."""

    def __init__(self, width: int, heads: int, dropout: float, dtype: DTypeLike, rngs: nnx.Rngs):
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads, self.head_dim = heads, width // heads
        self.norm = layer_norm(width, rngs)
        self.query, self.key, self.value, self.out = (
            nnx.Linear(width, width, dtype=dtype, rngs=rngs) for _ in range(4)
        )
        self.position = nnx.Linear(width, width, use_bias=False, dtype=dtype, rngs=rngs)
        init = nnx.initializers.xavier_uniform()
        self.bias_u = nnx.Param(init(rngs.params(), (heads, self.head_dim), jnp.float32))
        self.bias_v = nnx.Param(init(rngs.params(), (heads, self.head_dim), jnp.float32))
        self.dropout = nnx.Dropout(dropout)

    def __call__(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], rngs: nnx.Rngs | None
    ) -> Float[Array, "B T D"]:
        """The update, without the residual; keys where `mask` is False are not read."""
        batch, frames, width = x.shape
        split = (batch, frames, self.heads, self.head_dim)
        x = self.norm(x)
        query, key, value = (layer(x).reshape(split) for layer in (self.query, self.key, self.value))
        position = self.position(jnp.asarray(relative_positions(frames, width))).reshape(-1, self.heads, self.head_dim)
        bias_u, bias_v = (b[...].astype(query.dtype)[None, None] for b in (self.bias_u, self.bias_v))
        content = attention.similarities(query + bias_u, key)
        distance = relative_shift(attention.similarities(query + bias_v, position[None]))
        scores = (content + distance) * self.head_dim**-0.5
        found = attention.read(scores, value, mask, lambda weights: self.dropout(weights, rngs=rngs))
        return self.dropout(self.out(found.reshape(batch, frames, width)), rngs=rngs)


class ConvModule(nnx.Module):
    """Norm, gated pointwise, depthwise over time, batch norm, swish, pointwise."""

    def __init__(
        self,
        width: int,
        kernel_size: int,
        dropout: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        norm: Norm = masked_batch_norm,
    ):
        self.dtype = dtype
        self.norm = layer_norm(width, rngs)
        self.gate = nnx.Linear(width, 2 * width, dtype=dtype, rngs=rngs)
        init = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=0, out_axis=())
        self.depthwise = nnx.Param(init(rngs.params(), (kernel_size, width), jnp.float32))
        self.depthwise_norm = norm(width, rngs)
        self.out = nnx.Linear(width, width, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(dropout)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "B T"],
        rngs: nnx.Rngs | None,
        state: Int[Array, "B"] | None = None,
    ) -> Float[Array, "B T D"]:
        """The update, without the residual; padded frames neither reach their neighbours nor the statistics."""
        value, gate = jnp.split(self.gate(self.norm(x)), 2, axis=-1)
        y = jnp.where(mask[..., None], value * jax.nn.sigmoid(gate), 0)
        y = ops.depthwise_conv1d(y, self.depthwise[...].astype(self.dtype))
        given = {} if state is None else {"state": state}
        y = jax.nn.swish(self.depthwise_norm(y, mask=mask[..., None], **given).astype(self.dtype))
        return self.dropout(self.out(y), rngs=rngs)


class ConformerBlock(nnx.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        kernel_size: int,
        dropout: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        norm: Norm = masked_batch_norm,
    ):
        self.feed_forward1 = FeedForward(width, hidden, dropout, dtype, rngs)
        self.attention = RelativeAttention(width, heads, dropout, dtype, rngs)
        self.conv = ConvModule(width, kernel_size, dropout, dtype, rngs, norm)
        self.feed_forward2 = FeedForward(width, hidden, dropout, dtype, rngs)
        self.norm = layer_norm(width, rngs)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "B T"],
        rngs: nnx.Rngs | None,
        state: Int[Array, "B"] | None = None,
    ) -> Float[Array, "B T D"]:
        """One block, residuals included."""
        x = x + 0.5 * self.feed_forward1(x, rngs)
        x = x + self.attention(x, mask, rngs)
        x = x + self.conv(x, mask, rngs, state)
        x = x + 0.5 * self.feed_forward2(x, rngs)
        return self.norm(x).astype(x.dtype)


class Conformer(nnx.Module):
    """A stack of conformer blocks over frames of one width.

    Args:
        blocks: how many.
        width: of the frames.
        heads: of attention.
        hidden: width inside the feed-forward parts.
        kernel_size: of the depthwise convolutions, odd.
        dropout: rate, everywhere.
        dtype: of the computation; parameters, norms and softmax are float32.
        rngs: for the initial weights.
        norm: makes the batch norms of the convolution modules, which are called with a `mask` and, if the conformer is
            given one, a `state`.
        remat: what of a block is kept for the backward pass; see `remat.py`.

    Raises:
        V2SError: there is no such policy.
    """

    def __init__(
        self,
        blocks: int,
        width: int,
        heads: int,
        hidden: int,
        kernel_size: int = 31,
        dropout: float = 0.1,
        dtype: DTypeLike = jnp.float32,
        *,
        rngs: nnx.Rngs,
        norm: Norm = masked_batch_norm,
        remat: bool | str = KEEP_ALL,
    ):
        self.dtype, self.remat = dtype, policy_name(remat)
        self.dropout = nnx.Dropout(dropout)
        self.blocks = nnx.List(
            [ConformerBlock(width, heads, hidden, kernel_size, dropout, dtype, rngs, norm) for _ in range(blocks)]
        )

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "B T"],
        rngs: nnx.Rngs | None = None,
        state: Int[Array, "B"] | None = None,
    ) -> Float[Array, "B T D"]:
        """Encodes frames.

        Args:
            x: frames.
            mask: True where there is a frame.
            rngs: a `dropout` stream when training, None otherwise.
            state: of each row, for batch norms that tell rows apart (see `modality_norm.py`).
        """
        x = self.dropout(x.astype(self.dtype), rngs=rngs)
        step = remat(_step, self.remat, stateful=True)
        for block in self.blocks:
            key = None if rngs is None else rngs.dropout()
            x = step(block, keep_rows(x), mask, key, state)
        return x


def _step(
    block: ConformerBlock, x: jax.Array, mask: jax.Array, key: jax.Array | None, state: jax.Array | None
) -> jax.Array:
    return block(x, mask, None if key is None else Rngs(dropout=key), state)
