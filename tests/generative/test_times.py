import jax
import numpy as np
import pytest

from v2s_jax.generative.times import discrete_times, logit_normal_times, stratified_times, uniform_times

KEY = jax.random.key(0)


def test_uniform_times_are_in_the_half_open_interval():
    t = np.asarray(uniform_times(KEY, 4000))
    assert 0 < t.min() < 0.01 and 0.99 < t.max() <= 1 and t.mean() == pytest.approx(0.5, abs=0.02)


def test_stratified_times_hold_one_of_each_part_in_any_order():
    t = np.asarray(stratified_times(KEY, 50))
    np.testing.assert_array_equal(np.sort(np.ceil(t * 50)), np.arange(1, 51))
    assert (np.diff(t) < 0).sum() > 10 and (stratified_times(jax.random.key(1), 50) != t).all()


def test_discrete_times_are_the_points_of_the_process():
    t = np.asarray(discrete_times(KEY, 200, 5))
    np.testing.assert_allclose(np.unique(t), [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-6)


def test_logit_normal_times_are_a_squashed_normal():
    t = np.asarray(logit_normal_times(KEY, 4000, 0.5, 0.7), np.float64)
    logits = np.log(t / (1 - t))
    assert logits.mean() == pytest.approx(0.5, abs=0.05) and logits.std() == pytest.approx(0.7, abs=0.04)
