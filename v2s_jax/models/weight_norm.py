"""Convolutions over time whose weights are normalised: by weight norm (Salimans and Kingma 2016) or spectral norm.

Names and meaning of the parameters are those of PyTorch's `weight_norm` (dim 0) and `spectral_norm`, so that published
weights map one to one. First weights are PyTorch's defaults for convolutions: what HiFi-GAN's own code starts from,
too, since the normal(0, 0.01) it draws is overwritten by the weight norm's hook at the first call.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from v2s_jax.models import ops1d


class SpectralStat(nnx.Variable):
    """A singular vector: moved by power iteration, not by gradients."""


def _first(rngs: nnx.Rngs, shape: tuple[int, int, int], fan_in: int, width_out: int) -> tuple[jax.Array, ...]:
    """A kernel, a bias and one more vector over the outputs, from one draw: every draw takes time to compile."""
    bound, size = fan_in**-0.5, math.prod(shape)
    drawn = jax.random.uniform(rngs.params(), (size + 2 * width_out,), jnp.float32, -bound, bound)
    return drawn[:size].reshape(shape), drawn[size : size + width_out], drawn[size + width_out :]


class WeightNormed(nnx.Module):
    """weight = g * v / ||v||, a norm and a gain for every index of `axis` of the kernel (taps, in, out)."""

    axis: int

    def __init__(self, shape: tuple[int, int, int], fan_in: int, width_out: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype = dtype
        self.folded = False
        weight, bias, _ = _first(rngs, shape, fan_in, width_out)
        self.weight_v = nnx.Param(weight)
        self.weight_g = nnx.Param(self._norm(weight).reshape(-1))
        self.bias = nnx.Param(bias)

    def _norm(self, weight: Float[Array, "K I O"]) -> Float[Array, "_ _ _"]:
        others = tuple(axis for axis in range(3) if axis != self.axis)
        return jnp.sqrt(jnp.sum(weight**2, others, keepdims=True))

    def kernel(self) -> Float[Array, "K I O"]:
        """The weights in float32."""
        weight = self.weight_v[...]
        if self.folded:
            return weight
        norm = self._norm(weight)
        return weight * (self.weight_g[...].reshape(norm.shape) / norm)

    def fold(self) -> None:
        """Keeps the product alone."""
        self.weight_v[...] = self.kernel()
        del self.weight_g
        self.folded = True


class WeightNormConv(WeightNormed):
    """Convolution over time with weight norm over each output channel.

    Args:
        taps: of the kernel.
        width_in: channels.
        width_out: channels.
        stride: step between outputs.
        dilation: step between taps.
        groups: of channels.
        padding: zeros on both sides; by default as many as keep the length (odd `taps`, stride 1).
        dtype: of the computation.
        rngs: for the first weights.
    """

    axis = 2

    def __init__(
        self,
        taps: int,
        width_in: int,
        width_out: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: int | None = None,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        fan_in = taps * width_in // groups
        super().__init__((taps, width_in // groups, width_out), fan_in, width_out, dtype, rngs)
        self.stride, self.dilation, self.groups = stride, dilation, groups
        self.padding = (taps - 1) * dilation // 2 if padding is None else padding

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B t O"]:
        """Convolves."""
        kernel = self.kernel().astype(self.dtype)
        y = ops1d.conv1d(x.astype(self.dtype), kernel, self.stride, self.padding, self.dilation, self.groups)
        return y + self.bias[...].astype(self.dtype)[None, None]


class WeightNormConvTranspose(WeightNormed):
    """Transposed convolution over time with weight norm over each *input* channel, as PyTorch's dim 0 has it.

    Args:
        taps: of the kernel.
        width_in: channels.
        width_out: channels.
        stride: output steps to an input step.
        padding: output steps dropped on both sides.
        dtype: of the computation.
        rngs: for the first weights.
    """

    axis = 1

    def __init__(
        self,
        taps: int,
        width_in: int,
        width_out: int,
        *,
        stride: int,
        padding: int,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        # PyTorch takes the fan of a transposed kernel from its second axis, the output channels.
        super().__init__((taps, width_in, width_out), taps * width_out, width_out, dtype, rngs)
        self.stride, self.padding = stride, padding

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B t O"]:
        """Convolves."""
        y = ops1d.conv_transpose1d(x.astype(self.dtype), self.kernel().astype(self.dtype), self.stride, self.padding)
        return y + self.bias[...].astype(self.dtype)[None, None]


class SpectralNormConv(nnx.Module):
    """Convolution over time whose kernel is divided by its largest singular value (Miyato et al. 2018, 1802.05957).

    In training each call improves the singular vectors by one power iteration; in evaluation they stand still.

    Args:
        taps: of the kernel, odd.
        width_in: channels.
        width_out: channels.
        stride: step between outputs.
        groups: of channels.
        dtype: of the computation.
        rngs: for the first weights and vectors.
    """

    def __init__(
        self,
        taps: int,
        width_in: int,
        width_out: int,
        *,
        stride: int = 1,
        groups: int = 1,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.stride, self.groups, self.padding, self.dtype = stride, groups, taps // 2, dtype
        self.use_running_average = False
        width = width_in // groups
        weight, bias, direction = _first(rngs, (taps, width, width_out), taps * width, width_out)
        self.weight_orig, self.bias = nnx.Param(weight), nnx.Param(bias)
        # Not both at random, as PyTorch: the product of unrelated vectors is no size of anything, and may be near 0.
        u, v = _power_iteration(weight, _unit(direction))
        self.weight_u, self.weight_v = SpectralStat(u), SpectralStat(v)

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Lets `nnx.view` switch between training and evaluation, as it does batch norms.

        Args:
            use_running_average: whether the singular vectors stand still.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average

    def kernel(self) -> Float[Array, "K I O"]:
        """The weights in float32."""
        weight, u, v = self.weight_orig[...], self.weight_u[...], self.weight_v[...]
        if not self.use_running_average:
            u, v = _power_iteration(jax.lax.stop_gradient(weight), u)
            self.weight_u[...], self.weight_v[...] = u, v
        return weight / jnp.einsum("kio,ki,o->", weight, v, u)

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B t O"]:
        """Convolves."""
        kernel = self.kernel().astype(self.dtype)
        y = ops1d.conv1d(x.astype(self.dtype), kernel, self.stride, self.padding, groups=self.groups)
        return y + self.bias[...].astype(self.dtype)[None, None]


def _power_iteration(weight: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The singular vectors over outputs and over inputs, closer to those of the largest singular value."""
    v = _unit(jnp.einsum("kio,o->ki", weight, u))
    return _unit(jnp.einsum("kio,ki->o", weight, v)), v


def _unit(x: jax.Array) -> jax.Array:
    return x / jnp.maximum(jnp.sqrt(jnp.sum(x**2)), 1e-12)
