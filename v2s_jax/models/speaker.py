"""The d-vector speaker encoder of Wan et al. 2018 (GE2E, arXiv 1710.10467) in the layout of Resemblyzer's weights.

A stack of LSTMs reads the mel spectrogram of a partial utterance; the last state goes through a linear layer and ReLU
onto the unit sphere. An utterance's embedding is the normalised mean over its partials.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from v2s_jax.constants import SPEAKER_DIM
from v2s_jax.features.speaker_mel import SPEAKER_MELS, normalise_volume, partials, trim_silence

SIZES = {
    "published": dict(layers=3, hidden=256, projection=0, log=False),
    "small": dict(layers=2, hidden=128, projection=0, log=True),
    "paper": dict(layers=3, hidden=768, projection=256, log=True),
}
_LOG_FLOOR = 1e-6  # of mel power, where `log` is set: about the quietest band of a recorded room at -30 dBFS
_UNROLL = 4  # steps of the recurrence to a turn of the loop


def default_config(size: str = "published") -> ConfigDict:
    """The `model` section: every number of the named size.

    `projection` is the width of the state that an LSTM layer hands on, 0 for that of its memory; `log` takes the
    logarithm of the mel power first, which the published weights do not.
    """
    return ConfigDict(dict(name="speaker", mels=SPEAKER_MELS, dim=SPEAKER_DIM, **SIZES[size]))


class LSTM(nnx.Module):
    """One layer as `torch.nn.LSTM` computes it (gates in the order input, forget, cell, output; two biases).

    Args:
        width_in: of the frames.
        hidden: of the memory.
        projection: of the state, 0 for that of the memory.
        dtype: of the matrix products; the memory is float32.
        rngs: for the initial weights.
    """

    def __init__(self, width_in: int, hidden: int, projection: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.hidden, self.width, self.dtype = hidden, projection or hidden, dtype
        self.input = nnx.Linear(width_in, 4 * hidden, dtype=dtype, rngs=rngs)
        self.recurrent = nnx.Linear(self.width, 4 * hidden, dtype=dtype, rngs=rngs)
        self.project = nnx.Linear(hidden, projection, use_bias=False, dtype=dtype, rngs=rngs) if projection else None

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T D"]:
        """The state after every frame. All inputs go through one matrix product, before the recurrence."""
        assert self.input.bias is not None and self.recurrent.bias is not None  # none is asked for without one
        bias = self._gates(self.input.bias[...] + self.recurrent.bias[...])
        steps = x.astype(self.dtype).swapaxes(0, 1)
        # XLA:CPU multiplies a few rows by four narrow matrices faster than by one wide one.
        kernels = self._gates(self.input.kernel[...])
        gates_in = [steps @ kernel + part[None, None] for kernel, part in zip(kernels, bias, strict=True)]
        recurrent = self._gates(self.recurrent.kernel[...])
        project = None if self.project is None else self.project.kernel[...].astype(self.dtype)

        def step(carry: tuple[Array, Array], gates: list[Array]) -> tuple[tuple[Array, Array], Array]:
            state, memory = carry
            each = zip(gates, recurrent, strict=True)
            enter, forget, cell, leave = ((gate + state @ kernel).astype(jnp.float32) for gate, kernel in each)
            memory = _sigmoid(forget) * memory + _sigmoid(enter) * jnp.tanh(cell)
            state = (_sigmoid(leave) * jnp.tanh(memory)).astype(self.dtype)
            if project is not None:
                state = state @ project
            return (state, memory), state

        rows = x.shape[0]
        start = jnp.zeros((rows, self.width), self.dtype), jnp.zeros((rows, self.hidden), jnp.float32)
        return jax.lax.scan(step, start, gates_in, unroll=_UNROLL)[1].swapaxes(0, 1)

    def _gates(self, wide: Array) -> list[Array]:
        """The parts that belong to input, forget, cell and output."""
        return jnp.split(wide.astype(self.dtype), 4, axis=-1)


def _sigmoid(x: Array) -> Array:
    """The logistic function by tanh, which XLA:CPU computes faster than an exponential and a division."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


class Similarity(nnx.Module):
    """The scale and bias that GE2E's loss learns, kept with the encoder as the published weights have them."""

    def __init__(self):
        self.scale = nnx.Param(jnp.full((1,), 10.0))
        self.bias = nnx.Param(jnp.full((1,), -5.0))


class SpeakerEncoder(nnx.Module):
    """Mel power of partial utterances to unit vectors.

    Args:
        config: as `default_config` gives it.
        rngs: for the initial weights.
        dtype: of the computation; the memory and the norm are float32.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.dtype, self.log = dtype, config.log
        width = config.projection or config.hidden
        self.lstm = nnx.List(
            [
                LSTM(width if layer else config.mels, config.hidden, config.projection, dtype, rngs)
                for layer in range(config.layers)
            ]
        )
        self.linear = nnx.Linear(width, config.dim, dtype=dtype, rngs=rngs)
        self.similarity = Similarity()

    def __call__(self, mel: Float[Array, "B T M"]) -> Float[Array, "B D"]:
        """Embeddings of length 1 and without negative entries, float32.

        Args:
            mel: power as `features.speaker_mel` gives it; 160 frames, or as many as there are.
        """
        return unit(jax.nn.relu(self.linear(self.states(mel)[:, -1]).astype(jnp.float32)))

    def states(self, mel: Float[Array, "B T M"]) -> Float[Array, "B T D"]:
        """What the last LSTM hands on after every frame."""
        x = mel.astype(jnp.float32)
        x = (jnp.log(x + _LOG_FLOOR) if self.log else x).astype(self.dtype)
        for layer in self.lstm:
            x = layer(x)
        return x

    def embed_utterance(
        self, wave: Float[np.ndarray, "n"], rate: float = 1.3, min_coverage: float = 0.75
    ) -> Float[np.ndarray, "D"]:
        """The embedding of a whole utterance: volume and silences as published, then the mean over its partials.

        Compiled once for every power of two of partials.

        Args:
            wave: mono waveform in [-1, 1] at 16 kHz, of any length.
            rate: partials to a second.
            min_coverage: share of the last partial that the utterance must fill.
        """
        mels = partials(trim_silence(normalise_volume(wave)), rate, min_coverage)
        count = len(mels)
        bucket = 1 << (count - 1).bit_length()
        padded = np.pad(mels, ((0, bucket - count), (0, 0), (0, 0)))
        mean = np.asarray(_forward(*nnx.split(self), padded))[:count].mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-8)


def unit(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Vectors of length 1 and of the same direction; 0 stays 0, with a finite gradient."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, -1, keepdims=True), 1e-16))


def _apply(graphdef: nnx.GraphDef, state: Any, mel: Array) -> Array:
    return nnx.merge(graphdef, state)(mel)


_forward = jax.jit(_apply, static_argnums=0)
