"""The lip-reading front end: a 3D stem over time, then ResNet-18 on every frame (He et al. 2016; Stafylakis 2017).

Names follow AV-HuBERT's ResEncoder (frontend3D, trunk.layer1.0.conv1 ...), so that its weights map one to one.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from v2s_jax.models import ops
from v2s_jax.models.running import keep_running

BLOCKS_PER_STAGE = 2
WIDE = 512  # channels of blocks whose pictures, in lip readers, are the smallest
LEAST_PART, USUAL_PART, MOST_PARTS = 8, 40, 16  # frames at a time on a CPU, and how many times


def masked_batch_norm(width: int, rngs: nnx.Rngs) -> Any:
    """Batch norm as PyTorch's (eps 1e-5, momentum 0.1 there is 0.9 here), statistics in float32."""
    settings: dict[str, Any] = dict(momentum=0.9, epsilon=1e-5, use_fast_variance=False, dtype=jnp.float32)
    return keep_running(nnx.BatchNorm(width, **settings, rngs=rngs))


class Shift(nnx.Module):
    """What is left of a batch norm when its scale is part of the kernel before it."""

    def __init__(self, bias: Float[Array, "C"]):
        self.bias = nnx.Param(bias)

    def __call__(self, x: Float[Array, "N H W C"], mask: Bool[Array, "N 1 1 1"] | None) -> Float[Array, "N H W C"]:
        """Adds a constant to each channel."""
        del mask
        return x + self.bias[...].astype(x.dtype)[None, None, None]


def fold_norm(conv: "Conv", norm: Any) -> Shift:
    """Multiplies a kernel by the norm's scale, by its running statistics; the shift is to take the norm's place."""
    scale, bias, mean, var = (x[...] for x in (norm.scale, norm.bias, norm.mean, norm.var))
    factor = scale * lax.rsqrt(var + norm.epsilon)
    kernel = conv.kernel[...]
    conv.kernel[...] = kernel * factor.reshape((1,) * (kernel.ndim - 1) + (-1,))
    return Shift(bias - mean * factor)


class PReLU(nnx.Module):
    """max(x, 0) + a * min(x, 0) with one slope a per channel."""

    def __init__(self, width: int):
        self.weight = nnx.Param(jnp.full((width,), 0.25))

    def __call__(self, x: Float[Array, "... C"]) -> Float[Array, "... C"]:
        """Applies the slopes of the last axis."""
        slope = self.weight[...].astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
        return jnp.where(x >= 0, x, slope * x)


class ReLU(nnx.Module):
    """max(x, 0), with PReLU's signature."""

    def __init__(self, width: int):
        del width

    def __call__(self, x: Float[Array, "... C"]) -> Float[Array, "... C"]:
        """Applies max(x, 0)."""
        return jax.nn.relu(x)


ACTIVATIONS = {"relu": ReLU, "prelu": PReLU}


class Conv(nnx.Module):
    """The weights of a bias-free convolution, initialised as He et al. do (fan out)."""

    def __init__(self, shape: tuple[int, ...], rngs: nnx.Rngs):
        init = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))

    def weights(self, dtype: DTypeLike) -> jax.Array | list[jax.Array]:
        """The kernel, or a matrix for each of its taps."""
        if hasattr(self, "taps"):
            return [tap[...].astype(dtype) for tap in self.taps]
        return self.kernel[...].astype(dtype)

    def split(self) -> None:
        """Keeps a matrix for each tap, which spares a CPU cutting them out."""
        self.taps = nnx.List([nnx.Param(tap) for tap in ops.taps_of(self.kernel[...])])
        del self.kernel


class BasicBlock(nnx.Module):
    """conv - norm - act - conv - norm, plus the input, then act."""

    def __init__(self, width_in: int, width: int, stride: int, activation: str, rngs: nnx.Rngs):
        act = ACTIVATIONS[activation]
        self.stride, self.folded = stride, False
        self.conv1, self.bn1, self.relu1 = (
            Conv((3, 3, width_in, width), rngs),
            masked_batch_norm(width, rngs),
            act(width),
        )
        self.conv2 = Conv((3, 3, width, width), rngs)
        self.bn2, self.relu2 = masked_batch_norm(width, rngs), act(width)
        self.shortcut = stride != 1 or width_in != width
        if self.shortcut:
            self.downsample_conv = Conv((1, 1, width_in, width), rngs)
            self.downsample_bn = masked_batch_norm(width, rngs)

    def fold(self) -> None:
        """Takes the norms into the kernels."""
        self.bn1, self.bn2 = fold_norm(self.conv1, self.bn1), fold_norm(self.conv2, self.bn2)
        if self.shortcut:
            self.downsample_bn = fold_norm(self.downsample_conv, self.downsample_bn)
        for conv, stride in ((self.conv1, self.stride), (self.conv2, 1)):
            if stride == 1 and conv.kernel.shape[-2] >= WIDE:
                conv.split()
        self.folded = True

    def __call__(self, x: Float[Array, "N H W C"], mask: Bool[Array, "N 1 1 1"] | None) -> Float[Array, "N h w O"]:
        """Frames where `mask` is False take no part in the norms' statistics."""
        dtype = x.dtype
        residual = x
        y = ops.conv3x3(x, self.conv1.weights(dtype), self.stride)
        y = self.relu1(self.bn1(y, mask=mask).astype(dtype))
        y = self.bn2(ops.conv3x3(y, self.conv2.weights(dtype), 1), mask=mask).astype(dtype)
        if self.shortcut:
            residual = x[:, :: self.stride, :: self.stride] @ self.downsample_conv.kernel[0, 0].astype(dtype)
            residual = self.downsample_bn(residual, mask=mask).astype(dtype)
        return self.relu2(y + residual)


class ResNetFrontend(nnx.Module):
    """Grey mouth crops to one vector a frame.

    Args:
        widths: channels of the stem and first stage, and of the three stages after; ResNet-18 has 64, 128, 256, 512.
        activation: "relu", or "prelu" as AV-HuBERT.
        dtype: of the computation; parameters and statistics are float32.
        rngs: for the initial weights.
    """

    def __init__(self, widths: tuple[int, ...], activation: str, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype, self.folded = dtype, False
        self.width = widths[-1]
        self.stem_conv = Conv((5, 7, 7, 1, widths[0]), rngs)
        self.stem_bn = masked_batch_norm(widths[0], rngs)
        self.stem_relu = ACTIVATIONS[activation](widths[0])
        blocks, width_in = [], widths[0]
        for stage, width in enumerate(widths):
            for index in range(BLOCKS_PER_STAGE):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(BasicBlock(width_in, width, stride, activation, rngs))
                width_in = width
        self.trunk = nnx.List(blocks)

    def fold(self) -> None:
        """Takes the stem's norm into its kernel; the blocks do so themselves."""
        self.stem_bn, self.folded = fold_norm(self.stem_conv, self.stem_bn), True

    def __call__(self, video: Float[Array, "B T H W"], mask: Bool[Array, "B T"]) -> Float[Array, "B T D"]:
        """Encodes every frame.

        Args:
            video: normalised frames; those where `mask` is False are taken as zero.
            mask: True where there is a frame.

        Returns:
            One vector of `self.width` a frame; what stands at padded frames is meaningless.
        """
        batch, frames = mask.shape
        video = jnp.where(mask[:, :, None, None], video, 0).astype(self.dtype)
        kernel = self.stem_conv.kernel[...].astype(self.dtype)
        if self.folded:
            pictures = ops.stack_in_time(video, len(kernel))
            x = lax.platform_dependent(pictures, kernel, cpu=self._in_parts, default=self._of_pictures)
        else:
            x = ops.stem_conv3d(video, kernel)
            x = self._trunk(x.reshape(batch * frames, *x.shape[2:]), mask.reshape(-1, 1, 1, 1))
        return x.reshape(batch, frames, -1)

    def _trunk(self, x: Float[Array, "N H W C"], valid: Bool[Array, "N 1 1 1"] | None) -> Float[Array, "N D"]:
        x = self.stem_relu(self.stem_bn(x, mask=valid).astype(self.dtype))
        x = ops.max_pool3x3(x)
        for block in self.trunk:
            x = block(x, valid)
        return x.mean((1, 2))

    def _of_pictures(self, pictures: Float[Array, "N H W S"], kernel: Float[Array, "S K K 1 O"]) -> Float[Array, "N D"]:
        return self._trunk(ops.stem_conv_of_stacked(pictures, kernel), None)

    def _in_parts(self, pictures: Float[Array, "N H W S"], kernel: Float[Array, "S K K 1 O"]) -> Float[Array, "N D"]:
        """A few frames at a time: XLA:CPU runs a convolution of few channels on one core, but several at once.

        Of a number of frames that is not known yet (`jax.export`), all in one.
        """
        if not isinstance(pictures.shape[0], int):
            return self._of_pictures(pictures, kernel)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        size = max(LEAST_PART, min(USUAL_PART, -(-len(pictures) // (2 * cores))), -(-len(pictures) // MOST_PARTS))
        parts = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        return jnp.concatenate([self._of_pictures(part, kernel) for part in parts])
