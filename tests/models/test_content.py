import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.compiled import run
from tests.small_vocoder import filled
from v2s_jax.models.content import ContentEncoder, smoothed_entropy
from v2s_jax.models.remat import KEEP_ALL
from v2s_jax.models.rngs import Rngs

CONFORMER = ConfigDict(
    {"blocks": 1, "width": 8, "heads": 2, "hidden": 8, "kernel_size": 3, "dropout": 0.0, "remat": KEEP_ALL}
)


def encoder():
    made = filled(lambda: ContentEncoder(6, 5, CONFORMER, jnp.float32, Rngs(0)))
    return nnx.view(made, deterministic=True, use_running_average=True)


def test_two_steps_to_a_frame_and_padding_changes_nothing():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 6)), jnp.float32)
    steps = jnp.arange(14)[None] < jnp.array([[14], [8]])
    found = run(encoder(), x, steps)
    assert found.features.shape == (2, 14, 8) and found.logits.shape == (2, 14, 5)
    alone = run(encoder(), x[1:, :4], jnp.ones((1, 8), bool))
    np.testing.assert_allclose(found.logits[1, :8], alone.logits[0], atol=1e-5)
    assert np.abs(found.logits[:, ::2] - found.logits[:, 1::2]).max() > 1e-3  # the steps of a frame differ


def test_the_vector_of_a_known_unit_is_its_row():
    made = encoder()
    np.testing.assert_allclose(
        made.embed(jax.nn.one_hot(jnp.array([[3, 0]]), 5))[0], made.table[...][jnp.array([3, 0])]
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_entropy_by_hand(smoothing):
    share = np.array([0.7, 0.2, 0.1])
    logits = jnp.log(jnp.asarray(np.tile(share, (1, 3, 1)), jnp.float32))
    units, mask = jnp.array([[0, 1, 2]]), jnp.array([[True, True, False]])
    loss, right = smoothed_entropy(logits, units, mask, smoothing)
    target = (1 - smoothing) * np.eye(3)[:2] + smoothing / 3
    assert float(loss) == pytest.approx(-(target * np.log(share)).sum(1).mean(), rel=1e-5)
    assert float(right) == 0.5


def test_nothing_valid_is_no_loss():
    loss, right = smoothed_entropy(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2), int), jnp.zeros((1, 2), bool), 0.1)
    assert float(loss) == 0 and float(right) == 0
