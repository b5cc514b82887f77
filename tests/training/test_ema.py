import jax.numpy as jnp
import numpy as np

from v2s_jax.training.ema import evaluation_params, start_ema, update_ema


def test_warm_up_by_hand():
    # n = 0: d = 1/10, so 0.1 * 0 + 0.9 * 10 = 9. n = 1: d = 2/11, so 2/11 * 9 + 9/11 * 20 = 18.
    ema = start_ema({"a": jnp.array([0.0])})
    ema = update_ema(ema, {"a": jnp.array([10.0])}, jnp.array(0), 0.999)
    np.testing.assert_allclose(ema["a"], [9.0], rtol=1e-6)
    ema = update_ema(ema, {"a": jnp.array([20.0])}, jnp.array(1), 0.999)
    np.testing.assert_allclose(ema["a"], [18.0], rtol=1e-6)


def test_later_the_decay_is_the_one_asked_for():
    ema = update_ema({"a": jnp.array([1.0])}, {"a": jnp.array([2.0])}, jnp.array(10**6), 0.75)
    np.testing.assert_allclose(ema["a"], [1.25])


def test_averages_are_float32_and_copies():
    params = {"a": jnp.ones(1, jnp.bfloat16)}
    ema = start_ema(params)
    assert ema["a"].dtype == jnp.float32
    same = start_ema(ema)
    assert same["a"].unsafe_buffer_pointer() != ema["a"].unsafe_buffer_pointer()


def test_evaluation_takes_averages_where_there_are_any():
    params = {"a": {"x": jnp.array([1.0]), "y": jnp.array([2.0], jnp.bfloat16)}}
    found = evaluation_params({"params": params, "ema": {"a": {"y": jnp.array([5.0])}}})["a"]
    assert found["x"] == 1 and found["y"] == 5 and found["y"].dtype == jnp.bfloat16
    assert evaluation_params({"params": params, "ema": {}}) == params
