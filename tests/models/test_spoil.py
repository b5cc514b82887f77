import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from v2s_jax.constants import LOG_FLOOR
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.spoil import SECOND, Spoil, spoil

MEL = np.random.default_rng(0).uniform(-6, 1, (2, 3 * SECOND, 80)).astype(np.float32)
MASK = np.arange(3 * SECOND)[None] < np.array([[3 * SECOND], [2 * SECOND]])
spoilt = jax.jit(spoil)


def of(snr, gap, mel=MEL, mask=MASK):
    rows = len(mel)
    given = (np.full(rows, value, np.float32) for value in (snr, gap))
    return np.asarray(spoilt(mel, mask, *given, jnp.broadcast_to(jax.random.key(3), (rows,))))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 12.0])
def test_noise_is_as_loud_as_it_says(snr):
    speech, both = np.exp(2 * MEL), np.exp(2 * of(snr, 0.0))
    for row, mask in enumerate(MASK):
        ratio = speech[row][mask].mean() / (both - speech)[row][mask].mean()
        assert 10 * np.log10(ratio) == pytest.approx(snr, abs=0.4)


def test_so_much_of_every_second_is_lost_and_the_rest_is_as_it_was():
    found = of(200.0, 0.3)
    lost = (found == np.float32(LOG_FLOOR)).all(-1)
    for second in range(3):
        assert lost[:, second * SECOND : (second + 1) * SECOND].sum(1).tolist() == [30, 30]
    assert (np.abs(np.diff(lost.astype(int), axis=1)).sum(1) <= 6).all()  # in one piece
    np.testing.assert_allclose(found[~lost], MEL[~lost], atol=1e-4)


def test_padding_changes_nothing_and_rows_of_one_key_are_alike():
    alone = of(3.0, 0.2, MEL[1:, : 2 * SECOND], MASK[1:, : 2 * SECOND])
    np.testing.assert_allclose(of(3.0, 0.2)[1, : 2 * SECOND], alone[0], atol=1e-5)
    twice = of(3.0, 0.2, np.repeat(MEL[:1], 2, 0), np.repeat(MASK[:1], 2, 0))
    np.testing.assert_array_equal(twice[0], twice[1])


def test_rows_differ_in_training_alone():
    module = Spoil((-5.0, 15.0), (0.0, 0.4))
    assert module.middle == {"snr": 5.0, "gap": 0.2}
    mel, mask = (jnp.repeat(jnp.asarray(x[:1]), 3, axis=0) for x in (MEL, MASK))
    trained = np.asarray(module(mel, mask, Rngs(0)))
    gaps = (trained == np.float32(LOG_FLOOR)).all(-1).sum(1)
    assert len(set(gaps.tolist())) > 1 and gaps.max() <= 3 * 40
    calm = nnx.view(module, deterministic=True)
    even = np.asarray(calm(mel, mask, Rngs(0)))
    np.testing.assert_array_equal(even[0], even[1])
    assert (even == np.float32(LOG_FLOOR)).all(-1).sum(1).tolist() == [60] * 3
    clean = np.asarray(calm(mel, mask, Rngs(0), {"snr": 200.0, "gap": 0.0}))
    np.testing.assert_allclose(clean, mel, atol=1e-4)


@pytest.mark.parametrize("given", [((5.0, 0.0), (0.0, 0.4)), ((0.0, 5.0), (0.5, 1.2)), ((0.0, 5.0), (0.5, 0.2))])
def test_ranges_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match="system.spoil has"):
        Spoil(*given)
