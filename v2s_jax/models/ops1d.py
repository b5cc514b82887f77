"""Convolutions over time (batch, time, channels) that XLA lowers badly on some platform, each with one exact rewrite.

Like `ops.py`: every function equals the plain operation to float rounding (tests/models/test_ops1d.py), and the
platform is chosen when the program is lowered. Kernels are (taps, channels in, channels out).
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_NWC = ("NWC", "WIO", "NWC")
_STRETCH = 16  # taps


def conv1d(
    x: Float[Array, "B T I"],
    kernel: Float[Array, "K J O"],
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "B t O"]:
    """Convolution over time, as PyTorch's Conv1d without its bias.

    XLA:CPU computes a grouped convolution slower than the groups one by one and its gradients ten times slower, those
    of a kernel of many taps slower still, and that of the input of a wide and short one mostly moves the kernel.

    Args:
        x: input.
        kernel: weights; J is I / groups.
        stride: step between outputs.
        padding: zeros on both sides.
        dilation: step between taps.
        groups: the channels are split into, each with its own part of the kernel's outputs.

    Returns:
        Output of (T + 2 padding - dilation (K - 1) - 1) // stride + 1 steps.
    """
    if groups > 1:
        return _grouped(x, kernel, stride, padding, dilation, groups)
    known = isinstance(x.shape[0], int)  # not while it is exported for batches of any size
    if stride == dilation == 1 and known and x.shape[0] * x.shape[1] <= kernel.shape[1]:
        return _short(x, kernel, padding)
    return _plain(x, kernel, stride, padding, dilation, 1)


def _plain(x, kernel, stride, padding, dilation, groups):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride,),
        [(padding, padding)],
        rhs_dilation=(dilation,),
        dimension_numbers=_NWC,
        feature_group_count=groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _grouped(x, kernel, stride, padding, dilation, groups):
    def way(form):
        return functools.partial(form, stride=stride, padding=padding, dilation=dilation, groups=groups)

    return lax.platform_dependent(x, kernel, cpu=way(_group_by_group), default=way(_plain))


def _grouped_forward(x, kernel, stride, padding, dilation, groups):
    return _grouped(x, kernel, stride, padding, dilation, groups), (x, kernel)


def _grouped_backward(stride, padding, dilation, groups, residuals, dy):
    def gradients_through(form):
        return lambda x, kernel, dy: jax.vjp(lambda x, k: form(x, k, stride, padding, dilation, groups), x, kernel)[1](
            dy
        )

    many_taps = stride == dilation == 1 and residuals[1].shape[0] % _STRETCH == 0
    form = _stretch_by_stretch if many_taps else _group_by_group
    return lax.platform_dependent(*residuals, dy, cpu=gradients_through(form), default=gradients_through(_plain))


_grouped.defvjp(_grouped_forward, _grouped_backward)


def conv1d_of_groups(
    x: Float[Array, "B T I"], kernels: list[Float[Array, "K J o"]], padding: int
) -> Float[Array, "B t O"]:
    """`conv1d` in groups that each have a kernel of their own, which spares a CPU cutting them out of one."""

    def plainly(x, kernels):
        return _plain(x, jnp.concatenate(kernels, axis=-1), 1, padding, 1, len(kernels))

    def by_group(x, kernels):
        return _each_group(x, kernels, 1, padding, 1)

    return lax.platform_dependent(x, kernels, cpu=by_group, default=plainly)


def _group_by_group(x, kernel, stride, padding, dilation, groups):
    return _each_group(x, jnp.split(kernel, groups, axis=-1), stride, padding, dilation)


def _each_group(x, kernels, stride, padding, dilation):
    # Outputs fewer than taps would take a path that is twenty times slower, as the input's gradient would, too.
    reach = dilation * (kernels[0].shape[0] - 1)
    steps = (x.shape[1] + 2 * padding - reach - 1) // stride + 1
    more = max(0, stride * (reach + 2 - steps))
    inputs = jnp.split(jnp.pad(x, ((0, 0), (0, more), (0, 0))), len(kernels), axis=-1)
    parts = [_plain(part, own, stride, padding, dilation, 1) for part, own in zip(inputs, kernels, strict=True)]
    return jnp.concatenate(parts, axis=-1)[:, :steps]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _short(x, kernel, padding):
    return _plain(x, kernel, 1, padding, 1, 1)


def _short_forward(x, kernel, padding):
    return _short(x, kernel, padding), (x, kernel)


def _short_backward(padding, residuals, dy):
    def plainly(x, kernel, dy):
        return jax.vjp(lambda x, k: _plain(x, k, 1, padding, 1, 1), x, kernel)[1](dy)

    def by_taps(x, kernel, dy):
        return _input_gradient_tap_by_tap(dy, kernel, padding, x.shape[1]), plainly(x, kernel, dy)[1]

    return lax.platform_dependent(*residuals, dy, cpu=by_taps, default=plainly)


_short.defvjp(_short_forward, _short_backward)


def _input_gradient_tap_by_tap(dy, kernel, padding, steps):
    """A product for each tap, with the kernel as it lies."""
    taps = kernel.shape[0]
    padded = jnp.pad(dy, ((0, 0), (taps, taps), (0, 0)))
    first = taps + padding  # the output step that the first input step reaches through tap 0
    shifted = (padded[:, first - tap : first - tap + steps] for tap in range(taps))
    return sum(jnp.einsum("bto,io->bti", part, kernel[tap]) for tap, part in enumerate(shifted))


def _stretch_by_stretch(x, kernel, stride, padding, dilation, groups):
    """For kernels of many taps: one product a group of windows of a few taps with all stretches of the kernel."""
    batch, steps, _ = x.shape
    taps, width, out = kernel.shape
    stretches, length = taps // _STRETCH, steps + 2 * padding - taps + 1
    padded = jnp.pad(x, ((0, 0), (padding, padding), (0, 0))).reshape(batch, -1, groups, width).transpose(2, 0, 1, 3)
    count = padded.shape[2] - _STRETCH + 1
    windows = jnp.concatenate([padded[:, :, tap : tap + count] for tap in range(_STRETCH)], axis=-1)
    kernels = kernel.reshape(stretches, _STRETCH, width, groups, -1).transpose(3, 1, 2, 0, 4)
    products = windows.reshape(groups, batch * count, -1) @ kernels.reshape(groups, _STRETCH * width, -1)
    products = products.reshape(groups, batch, count, stretches, -1)
    total = sum(products[:, :, _STRETCH * n : _STRETCH * n + length, n] for n in range(stretches))
    return total.transpose(1, 2, 0, 3).reshape(batch, length, out)


def transposed_length(length: int | Array, taps: int, stride: int, padding: int) -> int | Array:
    """Steps that a transposed convolution gives, as PyTorch counts them."""
    return (length - 1) * stride - 2 * padding + taps


def conv_transpose1d(
    x: Float[Array, "B T I"], kernel: Float[Array, "K I O"], stride: int, padding: int = 0
) -> Float[Array, "B t O"]:
    """Transposed convolution over time, as PyTorch's ConvTranspose1d without its bias, by polyphase.

    Output step stride * q + r - padding sums x[q - m] @ kernel[stride * m + r] over m. All phases r of a q are one
    matrix product on a few shifted copies of x: XLA:CPU's gradients of the plain operation are eight times slower.

    Args:
        x: input.
        kernel: weights; tap j of input step n goes to output step stride * n + j - padding.
        stride: output steps to an input step.
        padding: output steps dropped on both sides.

    Returns:
        Output of (T - 1) stride - 2 padding + K steps.
    """
    batch, steps, _ = x.shape
    taps, width, out = kernel.shape
    length = transposed_length(steps, taps, stride, padding)
    if length < 1:
        raise ValueError(f"{steps} steps give no output with {taps} taps, stride {stride} and padding {padding}")
    shifts = -(-taps // stride)
    phases = jnp.pad(kernel, ((0, shifts * stride - taps), (0, 0), (0, 0)))
    phases = phases.reshape(shifts, stride, width, out).transpose(0, 2, 1, 3).reshape(shifts * width, stride * out)
    padded = jnp.pad(x, ((0, 0), (shifts - 1, shifts - 1), (0, 0)))
    count = steps + shifts - 1
    shifted = jnp.concatenate([padded[:, shifts - 1 - m : shifts - 1 - m + count] for m in range(shifts)], axis=-1)
    return jnp.matmul(shifted, phases).reshape(batch, count * stride, out)[:, padding : padding + length]


def average_pool1d(x: Float[Array, "B T"]) -> Float[Array, "B t"]:
    """Means of 4 neighbours, every second step, zeros (which count) beyond the ends: T // 2 + 1 steps."""
    steps = x.shape[1] // 2 + 1
    padded = jnp.pad(x, ((0, 0), (2, 2)))
    return jnp.mean(jnp.stack([padded[:, i : i + 2 * steps - 1 : 2] for i in range(4)]), axis=0)
