"""A diffusion transformer (Peebles and Xie 2023, arXiv 2212.09748) over mel frames, with rotary positions.

Time enters by adaLN-zero: it scales and shifts what every half of a block reads and gates what it adds, and at first
every gate is shut. Positions are rotations of queries and keys (Su et al. 2021, arXiv 2104.09864), so a clip may be
longer than any heard in training. Frames are conditioned along the channels, as in `mel_transformer.py`.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, N_MELS
from v2s_jax.models import attention
from v2s_jax.models.constants import ROTARY_BASE
from v2s_jax.models.remat import KEEP_ALL
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.stack import LayerStack
from v2s_jax.models.time_embedding import TimeEmbedding

SIZES = {
    "base": dict(layers=8, width=512, heads=8, hidden=2048),
    "small": dict(layers=6, width=256, heads=4, hidden=768),
}


def default_config(size: str = "base") -> ConfigDict:
    """Every number of the named size; `condition` is the width of what it is conditioned on."""
    fixed = dict(name="dit", channels=MEL_PER_FRAME * N_MELS, condition=1024)
    return ConfigDict(fixed | SIZES[size] | dict(dropout=0.1, scan=True, remat=KEEP_ALL))


def rotate(x: Float[Array, "B T H d"]) -> Float[Array, "B T H d"]:
    """Turns each pair of channels (i, i + d/2) of the frame t by the angle t * base^(-2i/d)."""
    half = x.shape[-1] // 2
    angles = jnp.arange(x.shape[1])[:, None] * (ROTARY_BASE ** (-jnp.arange(half) / half))[None]
    cos, sin = (f(angles).astype(x.dtype)[None, :, None] for f in (jnp.cos, jnp.sin))
    left, right = x[..., :half], x[..., half:]
    return jnp.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1)


def plain_norm(x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
    """Layer norm without weights of its own, in float32."""
    x = x.astype(jnp.float32)
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)


def _zeros(width_in: int, width_out: int, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.Linear:
    return nnx.Linear(width_in, width_out, kernel_init=nnx.initializers.zeros, dtype=dtype, rngs=rngs)


class Block(nnx.Module):
    """Attention and a feed-forward part, each modulated and gated by the time."""

    def __init__(self, config: ConfigDict, dtype: DTypeLike, rngs: nnx.Rngs):
        width = config.width
        self.heads, self.dtype = config.heads, dtype
        self.modulate = _zeros(width, 6 * width, dtype, rngs)
        self.qkv = nnx.Linear(width, 3 * width, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(width, width, dtype=dtype, rngs=rngs)
        self.widen = nnx.Linear(width, config.hidden, dtype=dtype, rngs=rngs)
        self.narrow = nnx.Linear(config.hidden, width, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        time: Float[Array, "B D"],
        mask: Bool[Array, "B T"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B T D"]:
        """The frames after this block."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = jnp.split(self.modulate(time)[:, None], 6, axis=-1)
        read = (plain_norm(x) * (1 + scale_a) + shift_a).astype(self.dtype)
        x = x + gate_a * self.dropout(self._attend(read, mask), rngs=rngs)
        read = (plain_norm(x) * (1 + scale_f) + shift_f).astype(self.dtype)
        hidden = jax.nn.gelu(self.widen(read), approximate=True)
        return x + gate_f * self.dropout(self.narrow(hidden), rngs=rngs)

    def _attend(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        query, key, value = (part.reshape(*x.shape[:2], self.heads, -1) for part in jnp.split(self.qkv(x), 3, axis=-1))
        scores = attention.similarities(rotate(query) * query.shape[-1] ** -0.5, rotate(key))
        return self.out(attention.read(scores, value, mask, dropout=lambda weights: weights).reshape(x.shape))


class DiT(LayerStack):
    """Noisy mel, time and condition to a prediction; at first always 0.

    Args:
        config: see `default_config`.
        rngs: for the initial weights.
        dtype: of the computation; parameters, norms, softmax and predictions are float32.

    Raises:
        ValueError: the width cannot be split into heads of an even width.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        if config.width % (2 * config.heads):
            raise ValueError(f"width {config.width} is no multiple of twice {config.heads} heads")
        self.dtype = dtype
        self.join = nnx.Linear(config.channels + config.condition, config.width, dtype=dtype, rngs=rngs)
        self.time = TimeEmbedding(config.width, dtype, rngs)
        self.stack(lambda rngs: Block(config, dtype, rngs), config.layers, config.scan, config.remat, rngs)
        self.modulate = _zeros(config.width, 2 * config.width, dtype, rngs)
        self.out = _zeros(config.width, config.channels, dtype, rngs)

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
            mask: True where there is a frame.
            rngs: a `dropout` stream when training, None otherwise.
        """
        x = self.join(jnp.concatenate([x_t, condition.astype(x_t.dtype)], axis=-1))
        embedded = jax.nn.silu(self.time(time))

        def step(x: jax.Array, inputs: tuple) -> tuple[jax.Array, None]:
            block, *key = inputs
            return block(x, embedded, mask, Rngs(dropout=key[0]) if key else None), None

        keys = () if rngs is None else (jax.random.split(rngs.dropout(), self.depth),)
        x, _ = self.walk(step, x, self.depth, *keys)
        shift, scale = jnp.split(self.modulate(embedded)[:, None], 2, axis=-1)
        return self.out((plain_norm(x) * (1 + scale) + shift).astype(self.dtype)).astype(jnp.float32)
