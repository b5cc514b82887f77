"""Convolutions that XLA lowers badly on some platform, each with one exact rewrite.

Every function equals the plain operation to float rounding (tests/models/test_ops.py); the platform is chosen when the
program is lowered, so a step compiled for a TPU from a CPU host gets the TPU's form.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_NHWC = ("NHWC", "HWIO", "NHWC")
_SMALL = 3  # rows and columns of a picture with few inner pixels


def _plain_conv3x3(x, kernel, stride):
    return lax.conv_general_dilated(x, kernel, (stride, stride), [(1, 1), (1, 1)], dimension_numbers=_NHWC)


def conv3x3(
    x: Float[Array, "N H W C"], kernel: Float[Array, "3 3 C O"] | list[Float[Array, "C O"]], stride: int = 1
) -> Float[Array, "N h w O"]:
    """3x3 convolution with padding 1, whose weight gradient on a CPU is a sum of matrix products.

    XLA:CPU computes the weight gradient as a convolution with a picture-sized kernel, several times slower than the
    forward pass. Here a few neighbouring columns are taken as one long vector, which gives dense products whose block
    diagonals are summed: more arithmetic, but of the kind a CPU does at full speed.

    Where most of a small picture's taps fall beside it, a CPU leaves these out.

    Args:
        x: pictures, channels last.
        kernel: weights, or the nine matrices that `taps_of` makes of them.
        stride: 1 or 2, the same both ways.

    Returns:
        Pictures of ceil(H / stride) x ceil(W / stride).
    """
    if stride == 1 and max(x.shape[1:3]) <= _SMALL:
        return lax.platform_dependent(
            x, kernel, cpu=_conv_by_taps, default=lambda x, k: _plain_conv3x3(x, _whole(k), 1)
        )
    return _conv3x3(x, _whole(kernel), stride)


def taps_of(kernel: Float[Array, "3 3 C O"]) -> list[Float[Array, "C O"]]:
    """The matrices of a kernel, row by row."""
    return [kernel[tap] for tap in itertools.product(range(3), repeat=2)]


def _whole(kernel):
    return jnp.stack(kernel).reshape(3, 3, *kernel[0].shape) if isinstance(kernel, list) else kernel


def _conv_by_taps(x, kernel):
    """A matrix product for each tap, of the pixels that it finds inside: of 3x3 pictures 49 and not 81."""
    size = x.shape[1:3]
    taps = kernel if isinstance(kernel, list) else taps_of(kernel)
    total = jnp.zeros((*x.shape[:3], taps[0].shape[-1]), x.dtype)
    for tap, matrix in zip(itertools.product(range(3), repeat=2), taps, strict=True):
        read = [slice(max(0, t - 1), n + min(0, t - 1)) for t, n in zip(tap, size, strict=True)]
        written = [(max(0, 1 - t), max(0, t - 1)) for t in tap]
        product = x[:, read[0], read[1]] @ matrix
        total = total + jnp.pad(product, ((0, 0), *written, (0, 0)))
    return total


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv3x3(x, kernel, stride):
    return _plain_conv3x3(x, kernel, stride)


def _conv3x3_forward(x, kernel, stride):
    return _plain_conv3x3(x, kernel, stride), (x, kernel)


def _conv3x3_backward(stride, residuals, dy):
    x, kernel = residuals
    _, vjp_x = jax.vjp(lambda x: _plain_conv3x3(x, kernel, stride), x)
    dkernel = lax.platform_dependent(
        x,
        dy,
        cpu=functools.partial(_weight_gradient_by_columns, size=3, stride=stride, chunk=3),
        default=functools.partial(_weight_gradient_plain, stride=stride),
    )
    return vjp_x(dy)[0], dkernel.astype(kernel.dtype)


def _weight_gradient_plain(x, dy, stride):
    zeros = jnp.zeros((3, 3, x.shape[-1], dy.shape[-1]), x.dtype)
    _, vjp = jax.vjp(lambda kernel: _plain_conv3x3(x, kernel, stride), zeros)
    return vjp(dy)[0]


def _weight_gradient_by_columns(x, dy, size, stride, chunk):
    """For every kernel row, dense products of a few columns of the input with the few outputs that read them.

    A loop over the columns, since the same written out takes twice as long to compile, and longer to run.
    """
    n, _, _, channels = x.shape
    _, rows, columns, out = dy.shape
    padded = jnp.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))

    def add(first, gradient, outputs):
        reach = stride * (outputs - 1) + size
        dy_rows = lax.dynamic_slice_in_dim(dy, first, outputs, 2).reshape(n * rows, outputs * out)
        x_columns = lax.dynamic_slice_in_dim(padded, stride * first, reach, 2)
        for i in range(size):
            x_rows = x_columns[:, i : i + stride * (rows - 1) + 1 : stride].reshape(n * rows, reach * channels)
            blocks = lax.dot_general(x_rows, dy_rows, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)
            blocks = blocks.reshape(reach, channels, outputs, out)
            taps = sum(blocks[stride * v : stride * v + size, :, v] for v in range(outputs))
            gradient = gradient.at[i].add(taps)
        return gradient

    whole, rest = divmod(columns, chunk)
    gradient = jnp.zeros((size, size, channels, out), jnp.float32)
    if whole:
        gradient = lax.fori_loop(0, whole, lambda number, found: add(chunk * number, found, chunk), gradient)
    return (add(whole * chunk, gradient, rest) if rest else gradient).astype(x.dtype)


_conv3x3.defvjp(_conv3x3_forward, _conv3x3_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def stem_conv3d(
    video: Float[Array, "B T H W"], kernel: Float[Array, "D K K 1 O"], stride: int = 2
) -> Float[Array, "B T h w O"]:
    """The 3D stem (stride 1 in time, padding that keeps T) as a 2D convolution over stacked frames.

    A 3D convolution of one input channel is a 2D one whose D input channels are the neighbouring frames: on XLA:CPU the
    gradient of the 3D form is hundreds of times slower. There the weight gradient is a sum of matrix products, too.

    Args:
        video: grey frames, zeros where there is none.
        kernel: weights as of a 3D convolution: time, height, width, 1, channels; D and K odd.
        stride: spatial stride.
    """
    return _stem_by_stacking(video, kernel, stride)


def stack_in_time(video: Float[Array, "B T H W"], depth: int) -> Float[Array, "N H W D"]:
    """Frames, of all rows one after the other, channel d being the frame d - D//2 later, zeros where there is none."""
    batch, frames, height, width = video.shape
    padded = jnp.pad(video, ((0, 0), (depth // 2, depth // 2), (0, 0), (0, 0)))
    stacked = jnp.stack([padded[:, i : i + frames] for i in range(depth)], axis=-1)
    return stacked.reshape(batch * frames, height, width, depth)


def _stem_by_stacking(video, kernel, stride):
    y = stem_conv_of_stacked(stack_in_time(video, kernel.shape[0]), kernel, stride)
    return y.reshape(*video.shape[:2], *y.shape[1:])


def stem_conv_of_stacked(
    stacked: Float[Array, "N H W D"], kernel: Float[Array, "D K K 1 O"], stride: int = 2
) -> Float[Array, "N h w O"]:
    """`stem_conv3d` of what `stack_in_time` gave, or of any of its frames; gradients are slow on a CPU."""
    size = kernel.shape[1]
    return lax.conv_general_dilated(
        stacked,
        kernel[:, :, :, 0].transpose(1, 2, 0, 3),
        (stride, stride),
        [(size // 2, size // 2)] * 2,
        dimension_numbers=_NHWC,
    )


def _stem_forward(video, kernel, stride):
    return _stem_by_stacking(video, kernel, stride), (video, kernel)


def _stem_backward(stride, residuals, dy):
    video, kernel = residuals
    _, vjp_video = jax.vjp(lambda video: _stem_by_stacking(video, kernel, stride), video)
    dkernel = lax.platform_dependent(
        video,
        dy,
        cpu=functools.partial(_stem_weight_gradient_by_columns, shape=kernel.shape, stride=stride),
        default=functools.partial(_stem_weight_gradient_plain, shape=kernel.shape, stride=stride),
    )
    return vjp_video(dy)[0], dkernel.astype(kernel.dtype)  # XLA drops the first where nobody asks for it


def _stem_weight_gradient_plain(video, dy, shape, stride):
    _, vjp = jax.vjp(lambda kernel: _stem_by_stacking(video, kernel, stride), jnp.zeros(shape, video.dtype))
    return vjp(dy)[0]


def _stem_weight_gradient_by_columns(video, dy, shape, stride):
    depth, size, _, _, out = shape
    gradient = _weight_gradient_by_columns(
        stack_in_time(video, depth), dy.reshape(-1, *dy.shape[2:]), size, stride, chunk=11
    )
    return gradient.transpose(2, 0, 1, 3)[:, :, :, None]


stem_conv3d.defvjp(_stem_forward, _stem_backward)


def max_pool3x3(x: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
    """3x3 max pooling of stride 2 and padding 1, for even H and W, by maxima of shifted halves.

    Its gradient avoids XLA's select-and-scatter; among equal maxima the gradient is shared, not given to the first.
    """
    return _max_pool_axis(_max_pool_axis(x, 1), 2)


def _max_pool_axis(x, axis):
    split = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    even = lax.index_in_dim(split, 0, axis + 1, keepdims=False)
    odd = lax.index_in_dim(split, 1, axis + 1, keepdims=False)
    padding = [(0, 0)] * x.ndim
    padding[axis] = (1, 0)
    before = jnp.pad(lax.slice_in_dim(odd, 0, odd.shape[axis] - 1, axis=axis), padding, constant_values=-jnp.inf)
    return jnp.maximum(jnp.maximum(before, even), odd)


def depthwise_conv1d(x: Float[Array, "B T C"], kernel: Float[Array, "K C"]) -> Float[Array, "B T C"]:
    """Depthwise convolution over time with an odd kernel and padding that keeps T.

    On a CPU a sum of K shifted products, elsewhere the grouped convolution.
    """
    return lax.platform_dependent(x, kernel, cpu=_depthwise_by_shifts, default=_depthwise_plain)


def _depthwise_plain(x, kernel):
    pad = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x,
        kernel[:, None],
        (1,),
        [(pad, pad)],
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=x.shape[-1],
    )


def _depthwise_by_shifts(x, kernel):
    size, frames = kernel.shape[0], x.shape[1]
    padded = jnp.pad(x, ((0, 0), (size // 2, size // 2), (0, 0)))
    return sum(padded[:, i : i + frames] * kernel[i][None, None] for i in range(size))
