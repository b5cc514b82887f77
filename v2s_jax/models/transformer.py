"""The transformer encoder of wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477), which AV-HuBERT and HuBERT share.

A grouped convolution tells positions, then pre-norm (AV-HuBERT, HuBERT Large) or post-norm (HuBERT Base) layers follow.
A layer is cut into small methods, so that another stream, such as prompts, can read its keys and values without
touching its frames.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.models import attention, ops1d
from v2s_jax.models.gelu import gelu
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.stack import LayerStack
from v2s_jax.models.weight_norm import WeightNormed


def layer_norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Layer norm as PyTorch's (eps 1e-5), in float32, with a variance that large means do not spoil."""
    return nnx.LayerNorm(width, epsilon=1e-5, use_fast_variance=False, dtype=jnp.float32, rngs=rngs)


class PositionalConv(WeightNormed):
    """GELU of a grouped convolution over time, all that the encoder knows of position.

    There is a weight norm for each tap. An even kernel reads one frame more of the past than of the future.
    """

    axis = 0

    def __init__(self, width: int, size: int, groups: int, dtype: DTypeLike, rngs: nnx.Rngs):
        super().__init__((size, width // groups, width), size * width // groups, width, dtype, rngs)
        self.groups = groups

    def fold(self) -> None:
        """Keeps the product alone, as a kernel for each group."""
        self.kernels = nnx.List([nnx.Param(part) for part in jnp.split(self.kernel(), self.groups, axis=-1)])
        del self.weight_v, self.weight_g
        self.folded = True

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """What to add to the frames; padded ones must be zero."""
        if self.folded:
            kernels = [kernel[...].astype(self.dtype) for kernel in self.kernels]
            y = ops1d.conv1d_of_groups(x, kernels, kernels[0].shape[0] // 2)
        else:
            kernel = self.kernel().astype(self.dtype)
            y = ops1d.conv1d(x, kernel, padding=kernel.shape[0] // 2, groups=self.groups)
        return gelu(y[:, : x.shape[1]] + self.bias[...].astype(y.dtype)[None, None])


class Layer(nnx.Module):
    """Self-attention and a feed-forward part, each added to what it read.

    Args:
        config: see `TransformerEncoder`.
        dtype: of the computation.
        rngs: for the initial weights.
    """

    def __init__(self, config: ConfigDict, dtype: DTypeLike, rngs: nnx.Rngs):
        width, hidden = config.width, config.hidden

        def linear(width_in: int, width_out: int) -> nnx.Linear:
            init = nnx.initializers.normal(0.02)
            return nnx.Linear(width_in, width_out, kernel_init=init, dtype=dtype, rngs=rngs)

        self.heads, self.norm_first = config.heads, config.norm_first
        self.query, self.key, self.value, self.out = (linear(width, width) for _ in range(4))
        self.widen, self.narrow = linear(width, hidden), linear(hidden, width)
        self.attention_norm, self.final_norm = layer_norm(width, rngs), layer_norm(width, rngs)
        self.dropout = nnx.Dropout(config.dropout)
        self.attention_dropout = nnx.Dropout(config.attention_dropout)
        self.activation_dropout = nnx.Dropout(config.activation_dropout)

    def _before(self, norm: nnx.LayerNorm, x: jax.Array) -> jax.Array:
        return norm(x) if self.norm_first else x

    def _after(self, norm: nnx.LayerNorm, x: jax.Array) -> jax.Array:
        return x if self.norm_first else norm(x).astype(x.dtype)

    def _split(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:2], self.heads, -1)

    def keys_values(self, x: Float[Array, "B S D"]) -> tuple[Float[Array, "B S H d"], Float[Array, "B S H d"]]:
        """What a stream lets others, and itself, read in this layer."""
        x = self._before(self.attention_norm, x)
        return self._split(self.key(x)), self._split(self.value(x))

    def attend(
        self,
        x: Float[Array, "B T D"],
        keys: Float[Array, "B S H d"],
        values: Float[Array, "B S H d"],
        mask: Bool[Array, "B S"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B T D"]:
        """The stream `x` after it has read `values`, which need not be its own; those where `mask` is False are not."""
        query = self._split(self.query(self._before(self.attention_norm, x)))
        scores = attention.similarities(query * query.shape[-1] ** -0.5, keys)
        found = attention.read(scores, values, mask, lambda weights: self.attention_dropout(weights, rngs=rngs))
        x = x + self.dropout(self.out(found.reshape(x.shape)), rngs=rngs)
        return self._after(self.attention_norm, x)

    def feed_forward(self, x: Float[Array, "B T D"], rngs: nnx.Rngs | None = None) -> Float[Array, "B T D"]:
        """The second half of the layer, for any stream."""
        hidden = gelu(self.widen(self._before(self.final_norm, x)))
        x = x + self.dropout(self.narrow(self.activation_dropout(hidden, rngs=rngs)), rngs=rngs)
        return self._after(self.final_norm, x)

    def __call__(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], rngs: nnx.Rngs | None = None
    ) -> Float[Array, "B T D"]:
        """The frames after this layer; those where `mask` is False are read by nobody."""
        return self.feed_forward(self.attend(x, *self.keys_values(x), mask, rngs), rngs)


class TransformerEncoder(LayerStack):
    """Frames in context.

    Args:
        config: has `layers`, `width`, `heads`, `hidden`; `conv_pos` and `conv_pos_groups`, the positional convolution's
            taps and groups; `norm_first`; the rates `dropout`, `attention_dropout`, `activation_dropout` and
            `layerdrop` (Fan et al. 2019, arXiv 1909.11556); `scan`, and `remat`, what of a layer is kept for the
            backward pass (see `remat.py`).
        dtype: of the computation; parameters, norms and softmax are float32.
        rngs: for the initial weights.
    """

    def __init__(self, config: ConfigDict, dtype: DTypeLike, rngs: nnx.Rngs):
        if config.width % config.heads or config.width % config.conv_pos_groups:
            raise ValueError(
                f"width {config.width} is no multiple of {config.heads} heads and {config.conv_pos_groups} groups"
            )
        self.dtype, self.norm_first = dtype, config.norm_first
        self.pos_conv = PositionalConv(config.width, config.conv_pos, config.conv_pos_groups, dtype, rngs)
        self.norm = layer_norm(config.width, rngs)
        self.dropout, self.layerdrop = nnx.Dropout(config.dropout), nnx.Dropout(config.layerdrop)
        self.stack(lambda rngs: Layer(config, dtype, rngs), config.layers, config.scan, config.remat, rngs)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "B T"],
        layer: int | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B T D"]:
        """Encodes frames.

        Args:
            x: frames.
            mask: True where there is a frame; the others, which come last, change nothing.
            layer: from 1: stop after this one, and give what it gives (with `norm_first` that is not normalised). None:
                the output, which with `norm_first` is that of the last layer, normalised.
            rngs: a `dropout` stream when training, None otherwise.

        Raises:
            ValueError: there is no such layer.
        """
        if layer is not None and not 1 <= layer <= self.depth:
            raise ValueError(f"layer is {layer}, expected 1 to {self.depth} or None")
        x, _ = self._run(self.embed(x, mask, rngs), mask, layer or self.depth, rngs, collect=False)
        return self.norm(x).astype(x.dtype) if layer is None and self.norm_first else x

    def states(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], rngs: nnx.Rngs | None = None
    ) -> Float[Array, "_ B T D"]:
        """What the first layer reads, and then, as `__call__` gives it for `layer`, what every one gives."""
        x = self.embed(x, mask, rngs)
        _, states = self._run(x, mask, self.depth, rngs, collect=True)
        return jnp.concatenate([x[None], states])

    def embed(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], rngs: nnx.Rngs | None = None
    ) -> Float[Array, "B T D"]:
        """The frames with their positions: what the first layer reads."""
        x = jnp.where(mask[..., None], x, 0).astype(self.dtype)
        x = x + self.pos_conv(x)
        return self.dropout(x if self.norm_first else self.norm(x).astype(x.dtype), rngs=rngs)

    def _run(self, x: jax.Array, mask: jax.Array, count: int, rngs: nnx.Rngs | None, collect: bool) -> Any:
        """The frames after `count` layers and, if asked for, after every layer."""

        def step(x: jax.Array, inputs: tuple) -> tuple[jax.Array, jax.Array | None]:
            layer, *random = inputs
            if random:
                key, keep = random
                y = jnp.where(keep, layer(x, mask, Rngs(dropout=key)), x)
            else:
                y = layer(x, mask)
            return y, y if collect else None

        if rngs is None:
            return self.walk(step, x, count)
        keys = jax.random.split(rngs.dropout(), self.depth)
        keep = self.layerdrop(jnp.ones(self.depth), rngs=rngs) > 0
        return self.walk(step, x, count, keys, keep)
