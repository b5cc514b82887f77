"""Which meshes to try, and which of them to recommend."""

from collections.abc import Iterable, Sequence

from v2s_jax.planning.cost import Cost
from v2s_jax.training.mesh import AXES

_MOST_TENSOR = 4  # heads and hidden widths of all models are multiples of it


def meshes_to_try(chips: int, rows: int) -> list[dict[str, int]]:
    """Data alone, parameters split over some chips and over all, and tensors split over a few; no mesh twice.

    Args:
        chips: devices there are.
        rows: of the batch, which data and fsdp together must divide.
    """
    some = max(size for size in _divisors(chips) if size * size <= chips)
    tensor = max(size for size in _divisors(chips) if size <= _MOST_TENSOR)
    wanted = [(chips, 1, 1), (chips // some, some, 1), (1, chips, 1), (chips // tensor, 1, tensor)]
    fitting = [sizes for sizes in dict.fromkeys(wanted) if rows % (sizes[0] * sizes[1]) == 0]
    if not fitting:  # a batch of fewer rows than chips
        parts = max(size for size in _divisors(chips) if rows % size == 0)
        fitting = [(parts, 1, chips // parts)]
    return [dict(zip(AXES, sizes, strict=True)) for sizes in fitting]


def recommend(costs: Sequence[Cost]) -> Cost:
    """Of those that fit the one with the most clips a second, or the least memory where time is not known.

    If none fits, the one that lacks the least.
    """
    fitting = [cost for cost in costs if not cost.excess]
    if not fitting:
        return min(costs, key=lambda cost: cost.excess)
    return min(fitting, key=lambda cost: (cost.seconds / cost.rows if cost.seconds else 0.0, cost.peak))


def _divisors(number: int) -> Iterable[int]:
    return [size for size in range(1, number + 1) if number % size == 0]
