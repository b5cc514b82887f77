import jax.numpy as jnp
import numpy as np
import optax
import pytest

from v2s_jax.errors import V2SError
from v2s_jax.training.defaults import default_config
from v2s_jax.training.optimizer import count, make_optimizer, make_schedule, tree_norm
from v2s_jax.training.rules import Action


def section(**settings):
    config = default_config().optimizer
    config.update(settings)
    return config


@pytest.mark.parametrize(
    ("name", "middle", "end"),
    [("cosine", 0.55, 0.1), ("linear", 0.55, 0.1), ("constant", 1, 1), ("exponential", None, 0.1)],
)
def test_schedules_warm_up_linearly_and_end_where_said(name, middle, end):
    rate = make_schedule(section(schedule=name, learning_rate=2.0, warmup_steps=10, final_fraction=0.1), 110)
    np.testing.assert_allclose([rate(0), rate(5), rate(10)], [0, 1, 2], atol=1e-6)
    middle = 0.1**0.5 if middle is None else middle
    np.testing.assert_allclose([rate(60), rate(110)], [2 * middle, 2 * end], rtol=1e-5)


def test_impossible_schedules_are_refused():
    with pytest.raises(V2SError, match="known are cosine"):
        make_schedule(section(schedule="square"), 10)
    with pytest.raises(V2SError, match="only 10 steps"):
        make_schedule(section(warmup_steps=10), 10)
    with pytest.raises(V2SError, match="at least one step"):
        make_schedule(section(), 0)
    with pytest.raises(V2SError, match="optimizer.name"):
        make_optimizer(section(name="lion"), optax.constant_schedule(1.0), {})


def update(gradients, params, actions=None, **settings):
    actions = actions or dict.fromkeys(params, Action("main"))
    optimizer = make_optimizer(section(**settings), optax.constant_schedule(0.1), actions)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    return updates


def test_first_adam_step_has_the_size_of_the_rate_and_follows_multipliers():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    gradients = {"a": jnp.array([1.0, -3.0]), "b": jnp.array([0.5, 0.5])}
    actions = {"a": Action("main"), "b": Action("main", 0.01)}
    updates = update(gradients, params, actions, weight_decay=0.0)
    np.testing.assert_allclose(updates["a"], [-0.1, 0.1], rtol=1e-4)
    np.testing.assert_allclose(updates["b"], [-0.001, -0.001], rtol=1e-4)


def test_weight_decay_leaves_norms_and_biases_alone_even_when_stacked():
    params = {"block": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((3, 2)), "scale": jnp.ones(2)}}
    gradients = {"block": {name: jnp.zeros_like(x) for name, x in params["block"].items()}}
    actions = {f"block/{name}": Action("main") for name in params["block"]}
    updates = update(gradients, params, actions, weight_decay=0.5)["block"]
    np.testing.assert_allclose(updates["kernel"], -0.05 * np.ones((2, 2)), rtol=1e-6)
    assert not updates["bias"].any() and not updates["scale"].any()


def test_clipping_scales_the_gradient_to_its_norm():
    params = {"a": jnp.zeros(2)}
    optimizer = make_optimizer(section(clip_norm=1.0), optax.constant_schedule(0.1), {"a": Action("main")})
    _, state = optimizer.update({"a": jnp.array([30.0, 40.0])}, optimizer.init(params), params)
    mu = next(part.mu for part in state if hasattr(part, "mu"))
    np.testing.assert_allclose(mu["a"], 0.1 * np.array([0.6, 0.8]), rtol=1e-5)


def test_norm_and_count():
    tree = {"a": jnp.array([3.0]), "b": {"c": jnp.array([[4.0, 0.0]], jnp.bfloat16)}}
    assert tree_norm(tree) == 5.0 and tree_norm(tree).dtype == jnp.float32
    assert count(tree) == 3
