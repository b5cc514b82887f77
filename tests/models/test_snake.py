import jax
import jax.numpy as jnp
import numpy as np

from v2s_jax.models.snake import SnakeBeta, sin_squared

ANGLES = np.random.default_rng(0).uniform(-300, 300, 10_000).astype(np.float32)


def test_squares_of_sines_and_their_gradients_are_exact():
    exact = ANGLES.astype(np.float64)
    np.testing.assert_allclose(jax.jit(sin_squared)(ANGLES), np.sin(exact) ** 2, atol=5e-7)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(sin_squared)))(ANGLES), np.sin(2 * exact), atol=1e-6)
    np.testing.assert_array_equal(sin_squared(jnp.zeros(1)), [0])


def test_a_snake_by_hand():
    snake = SnakeBeta(2)
    x = jnp.array([[[0.5, -1.0]]])
    np.testing.assert_allclose(snake(x), x + np.sin(x) ** 2, atol=1e-6)
    snake.alpha[...], snake.beta[...] = jnp.log(jnp.array([2.0, 3.0])), jnp.log(jnp.array([4.0, 0.5]))
    np.testing.assert_allclose(snake(x)[0, 0], [0.5 + np.sin(1) ** 2 / 4, -1 + np.sin(3) ** 2 / 0.5], atol=1e-6)
    assert snake(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
