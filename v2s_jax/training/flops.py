"""How much arithmetic a step is: the multiplications and additions of its matrix products and convolutions.

Counted in the traced program, where a scan says its length; XLA's own count takes the body of a loop once. What
`remat` computes again counts again. Of operations with a form for each platform, the form that is not a CPU's counts.
What no result needs does not count, as the compiler leaves it out.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core


def count_flops(function: Callable, *args: Any, trips: int = 1) -> int:
    """FLOPs of all devices together.

    Args:
        function: that jax can trace; compiled or not.
        *args: arrays or their shapes.
        trips: how often loops run whose length is not known before they do, such as a sampler's.
    """
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    return _count(jaxpr, [True] * len(jaxpr.outvars), trips)[0]


def _count(jaxpr: core.Jaxpr, wanted: list[bool], trips: int) -> tuple[int, list[bool]]:
    """FLOPs behind the results that somebody wants, and which of the program's arguments these read."""
    platforms = {e.outvars[0] for e in jaxpr.eqns if e.primitive.name == "platform_index"}
    live = {var for var, used in zip(jaxpr.outvars, wanted, strict=True) if used and not _fixed(var)}
    total = 0
    for equation in reversed(jaxpr.eqns):
        used = [var in live for var in equation.outvars]
        if not any(used):  # the compiler leaves it out
            continue
        flops, read = _equation(equation, used, trips, platforms)
        total += flops
        live.update(var for var, needed in zip(equation.invars, read, strict=True) if needed and not _fixed(var))
    return total, [var in live for var in jaxpr.invars]


def _equation(equation: Any, used: list[bool], trips: int, platforms: set[Any]) -> tuple[int, list[bool]]:
    """FLOPs of one operation whose results are used or not, and which of its operands it reads."""
    everything = [True] * len(equation.invars)
    match equation.primitive.name:
        case "dot_general":
            return _product(equation), everything
        case "conv_general_dilated":
            return _convolution(equation), everything
        case "cond":
            branches = [_count(branch.jaxpr, used, trips)[0] for branch in equation.params["branches"]]
            own_form = equation.invars[0] in platforms if not _fixed(equation.invars[0]) else False
            return branches[-1] if own_form else max(branches), everything
        case "scan" | "while" as name:
            times = equation.params["length"] if name == "scan" else trips
            parts = list(_parts(equation.params))
            return times * sum(_count(part, [True] * len(part.outvars), trips)[0] for part in parts), everything
        case _:
            parts = list(_parts(equation.params))
            if [(len(part.invars), len(part.outvars)) for part in parts] == [(len(everything), len(used))]:
                return _count(parts[0], used, trips)  # a call
            return sum(_count(part, [True] * len(part.outvars), trips)[0] for part in parts), everything


def _fixed(var: Any) -> bool:
    return isinstance(var, core.Literal)


def _parts(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """The programs inside an operation."""
    for value in params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part


def _product(equation: Any) -> int:
    ((contracted, _), _) = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


def _convolution(equation: Any) -> int:
    """Every number of the result reads the kernel of its channel; the zeros between dilated inputs do not count."""
    kernel, numbers = equation.invars[1].aval.shape, equation.params["dimension_numbers"]
    read = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
    return 2 * math.prod(equation.outvars[0].aval.shape) * read // math.prod(equation.params["lhs_dilation"])
