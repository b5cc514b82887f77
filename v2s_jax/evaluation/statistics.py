"""Means of per-clip figures with bootstrap confidence intervals."""

import dataclasses
from collections.abc import Sequence

import numpy as np

_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Mean:
    """A weighted mean over clips, its 95 % confidence interval, and how many clips could be judged."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(values: Sequence[float], weights: Sequence[float] | None = None) -> Mean:
    """Weighted mean of the finite values with its percentile bootstrap interval (Efron 1979), always the same.

    Args:
        values: one a clip; NaN where there is none.
        weights: one a clip, such as its number of words; clips of weight 0 do not count.
    """
    value = np.asarray(values, float)
    weight = np.ones_like(value) if weights is None else np.asarray(weights, float)
    counted = np.isfinite(value) & (weight > 0)
    value, weight = value[counted], weight[counted]
    n = len(value)
    if n == 0:
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(0)
    means = np.empty(_RESAMPLES)
    for i in range(_RESAMPLES):
        drawn = rng.integers(0, n, n)
        means[i] = np.average(value[drawn], weights=weight[drawn])
    low, high = np.quantile(means, [0.025, 0.975])
    return Mean(float(np.average(value, weights=weight)), float(low), float(high), n)
