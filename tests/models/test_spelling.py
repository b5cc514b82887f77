import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.constants import LETTERS_PER_FRAME
from v2s_jax.features.text import ALPHABET
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.spelling import Spelling, spelling_loss


def test_spelling_loss_by_hand():
    # Two steps, blank and one letter: the letter alone, or beside a blank on either side, spells it.
    logits = jnp.log(jnp.array([[[0.4, 0.6], [0.7, 0.3], [0.5, 0.5]]]))
    probability = 0.6 * 0.7 + 0.4 * 0.3 + 0.6 * 0.3
    alone = spelling_loss(logits, jnp.array([2]), jnp.array([[1, 0]]))
    assert float(alone) == pytest.approx(-np.log(probability), abs=1e-4)
    with_mute = spelling_loss(jnp.tile(logits, (2, 1, 1)), jnp.array([2, 2]), jnp.array([[1, 0], [0, 0]]))
    assert float(with_mute) == pytest.approx(float(alone), abs=1e-6)


def test_the_layer_spells_at_twice_the_rate_of_frames():
    head = Spelling(6, jnp.float32, Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 6)), jnp.float32)
    length, characters = jnp.array([5, 3]), jnp.array([[3, 4, 5], [6, 0, 0]])
    logits = head(x).reshape(2, 5 * LETTERS_PER_FRAME, len(ALPHABET))
    expected = spelling_loss(logits, LETTERS_PER_FRAME * length, characters)
    assert float(head.loss(x, length, characters)) == pytest.approx(float(expected), rel=1e-6)
    beyond = x.at[1, 3:].set(9.0)
    assert float(head.loss(beyond, length, characters)) == pytest.approx(float(expected), rel=1e-6)
