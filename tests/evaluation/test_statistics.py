import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.evaluation.statistics import bootstrap_mean


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12))
def test_the_mean_lies_in_its_interval_within_the_values(values):
    mean = bootstrap_mean(values)
    assert mean.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert min(values) - 1e-9 <= mean.low <= mean.high <= max(values) + 1e-9
    assert mean.n == len(values)


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(5, 2, 400).tolist()
    mean = bootstrap_mean(values)
    # Of a mean of 400 normal values of deviation 2: 1.96 * 2 / 20 either side.
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)
    assert mean == bootstrap_mean(values)


def test_weights_and_missing_values():
    mean = bootstrap_mean([0.0, 100.0, math.nan, 50.0], [1.0, 3.0, 10.0, 0.0])
    assert (mean.mean, mean.n) == (75, 2)
    nothing = bootstrap_mean([math.nan])
    assert nothing.n == 0 and math.isnan(nothing.mean)
