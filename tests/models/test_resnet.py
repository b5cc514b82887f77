import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.compiled import run
from tests.small_vocoder import filled
from v2s_jax.models.resnet import PReLU, ResNetFrontend
from v2s_jax.models.rngs import Rngs


def frontend(activation: str = "relu", training: bool = False) -> ResNetFrontend:
    model = filled(lambda: ResNetFrontend((2, 3, 4, 5), activation, jnp.float32, Rngs(0)))
    return model if training else nnx.view(model, use_running_average=True)


def video(frames: int, rows: int = 1) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(rows, frames, 32, 32)), jnp.float32)


@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_a_padded_clip_is_encoded_as_the_clip_alone(activation):
    model, frames = frontend(activation), video(7)
    padded = run(model, frames, jnp.arange(7)[None] < 4)
    alone = run(model, frames[:, :4], jnp.ones((1, 4), bool))
    assert alone.shape == (1, 4, 5)
    np.testing.assert_allclose(padded[:, :4], alone, atol=1e-5)


def test_padding_moves_neither_output_nor_statistics_in_training():
    graphdef, state = nnx.split(frontend(training=True))

    @jax.jit
    def mean(state, frames):
        model = nnx.merge(graphdef, state)
        model(frames, jnp.arange(frames.shape[1])[None] < 4)
        return model.trunk[3].bn2.mean[...]

    longer = jnp.concatenate([video(4), 100 * jnp.ones((1, 2, 32, 32))], 1)
    np.testing.assert_allclose(mean(state, video(4)), mean(state, longer), atol=1e-5)


def test_prelu_by_hand():
    prelu = PReLU(2)
    prelu.weight[...] = jnp.array([0.5, 2.0])
    np.testing.assert_array_equal(prelu(jnp.array([[-2.0, -2.0], [3.0, 3.0]])), [[-1, -4], [3, 3]])
