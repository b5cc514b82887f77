import jax
import numpy as np
import pytest
from flax import nnx

from v2s_jax.models.modality_dropout import ModalityDropout
from v2s_jax.models.modality_norm import AUDIO, BOTH, VIDEO
from v2s_jax.models.rngs import Rngs

ROWS = 4000


def shares(dropout, seed=0):
    states = np.asarray(dropout(ROWS, Rngs(seed)))
    return [float((states == which).mean()) for which in (VIDEO, AUDIO, BOTH)]


def test_rows_are_in_the_states_of_the_shares():
    assert shares(ModalityDropout(0.2, 0.3)) == pytest.approx([0.2, 0.3, 0.5], abs=0.03)
    assert shares(ModalityDropout(0.5, 0.5)) == pytest.approx([0.5, 0.5, 0], abs=0.03)


def test_in_evaluation_everything_is_given():
    dropout = nnx.view(ModalityDropout(0.5, 0.5, 10), deterministic=True)
    assert (np.asarray(dropout(8, Rngs(0))) == BOTH).all() and float(dropout.steps[...]) == 0
    assert (np.asarray(ModalityDropout(0.5, 0.5)(8, None)) == BOTH).all()


def test_shares_grow_along_the_ramp_and_then_stay():
    dropout = ModalityDropout(0.4, 0.6, 4)
    both = [shares(dropout, seed)[2] for seed in range(6)]
    assert both == pytest.approx([1, 0.75, 0.5, 0.25, 0, 0], abs=0.03)
    assert float(dropout.steps[...]) == 4  # it does not count on until floats no longer can
    assert not jax.tree.leaves(nnx.state(ModalityDropout(0.4, 0.6)))


@pytest.mark.parametrize("given", [(-0.1, 0.5), (0.6, 0.6), (0.1, 0.1, -1)])
def test_shares_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match="system.modality_dropout has the shares"):
        ModalityDropout(*given)
