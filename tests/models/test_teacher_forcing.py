import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from v2s_jax.models.rngs import Rngs
from v2s_jax.models.teacher_forcing import TeacherForcing

GUESS, TRUTH = jnp.zeros((400, 3, 2)), jnp.ones((400, 3, 2))


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_a_share_of_the_rows_is_told_the_truth(rate):
    given = np.asarray(TeacherForcing(rate)(GUESS, TRUTH, Rngs(0)))
    assert (given == given[:, :1, :1]).all()  # whole rows
    assert given[:, 0, 0].mean() == pytest.approx(rate, abs=0.08)


def test_in_evaluation_there_is_no_truth():
    calm = nnx.view(TeacherForcing(1.0), deterministic=True)
    assert not calm(GUESS, TRUTH, Rngs(0)).any()
    assert not TeacherForcing(1.0)(GUESS, TRUTH, None).any()


def test_the_guess_gets_no_gradient():
    gradient = jax.grad(lambda guess: TeacherForcing(0.0)(guess, TRUTH, Rngs(0)).sum())(GUESS)
    assert not gradient.any()


def test_a_rate_is_a_share():
    with pytest.raises(ValueError, match="teacher forcing is 1.5: expected 0 to 1"):
        TeacherForcing(1.5)
