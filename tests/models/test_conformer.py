import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.small_vocoder import filled
from v2s_jax.models import conformer
from v2s_jax.models.rngs import Rngs


def test_relative_shift_reads_the_score_of_the_distance():
    frames = 3
    scores = jnp.arange(frames * (2 * frames - 1), dtype=jnp.float32).reshape(1, 1, frames, -1)
    shifted = conformer.relative_shift(scores)[0, 0]
    for i in range(frames):
        for j in range(frames):
            assert shifted[i, j] == scores[0, 0, i, frames - 1 - i + j]


def test_relative_positions_count_down_from_the_farthest_past():
    table = conformer.relative_positions(3, 4)
    np.testing.assert_allclose(table[:, 0], np.sin([2.0, 1, 0, -1, -2]), atol=1e-6)
    np.testing.assert_allclose(table[:, 3], np.cos(np.array([2.0, 1, 0, -1, -2]) / 100), atol=1e-6)


@pytest.fixture
def encoder():
    model = filled(lambda: conformer.Conformer(2, 16, 4, 32, kernel_size=5, rngs=Rngs(0)))
    return jax.jit(nnx.view(model, deterministic=True, use_running_average=True).__call__)


def test_a_padded_clip_is_encoded_as_the_clip_alone(encoder):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 16)), jnp.float32)
    mask = jnp.array([[True] * 7, [True] * 4 + [False] * 3])
    padded = encoder(x, mask)
    alone = encoder(x[1:, :4], mask[1:, :4])
    np.testing.assert_allclose(padded[1, :4], alone[0], atol=1e-5)


def test_padding_does_not_move_the_statistics():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 16)), jnp.float32)
    spoilt = jnp.concatenate([x, jnp.full((1, 3, 16), 1e3)], 1)
    first = filled(lambda: conformer.Conformer(1, 16, 4, 32, kernel_size=3, dropout=0.0, rngs=Rngs(0)))
    graphdef, state = nnx.split(first)

    @jax.jit
    def mean(state, video):
        model = nnx.merge(graphdef, state)
        model(video, jnp.arange(video.shape[1])[None] < 6, Rngs(dropout=0))
        return model.blocks[0].conv.depthwise_norm.mean[...]

    means = [mean(state, video) for video in (x, spoilt)]
    np.testing.assert_allclose(*means, atol=1e-6)
    assert abs(means[0] - first.blocks[0].conv.depthwise_norm.mean[...]).max() > 0


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="multiple"):
        conformer.Conformer(1, 10, 4, 16, rngs=Rngs(0))
