import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from v2s_jax.models.rngs import Rngs
from v2s_jax.models.tempo import VaryTempo

LENGTH = np.array([20, 12, 0], np.int32)


def clips():
    """Frames and mel frames that hold their own time, in video frames."""
    mouth = np.broadcast_to(np.arange(20, dtype=np.uint8)[None, :, None, None], (3, 20, 2, 2))
    mel = np.broadcast_to((np.arange(80, dtype=np.float32) / 4)[None, :, None], (3, 80, 3))
    return jnp.asarray(mouth), jnp.asarray(mel), jnp.asarray(LENGTH)


def played(bounds, seed=0):
    return VaryTempo(bounds)(*clips(), Rngs(seed))


@pytest.mark.parametrize("speed", [0.8, 1.25, 2.0])
def test_video_mel_and_length_move_together(speed):
    mouth, mel, length = played((speed, speed))
    expected = [min(20, int(20 / speed)), int(12 / speed), 0]
    np.testing.assert_array_equal(length, expected)
    for row in (0, 1):
        valid = int(length[row])
        centres = (np.arange(valid) + 0.5) * speed - 0.5
        assert np.abs(np.asarray(mouth[row, :valid, 0, 0]).astype(float) - centres).max() <= 0.5
        within = np.minimum(np.arange(4 * valid) * speed, 4 * LENGTH[row] - 1) / 4
        np.testing.assert_allclose(mel[row, : 4 * valid, 0], within, atol=1e-5)


def test_rows_differ_and_nothing_changes_in_evaluation():
    _, mel, length = played((0.8, 1.25))
    assert float(mel[0, 4, 0]) != float(mel[1, 4, 0]) and 0.8 <= float(mel[0, 4, 0]) <= 1.25
    assert int(length[2]) == 0 and np.isfinite(mel).all()
    still = nnx.view(VaryTempo((0.5, 2.0)), deterministic=True)
    for before, after in zip(clips(), still(*clips(), Rngs(0)), strict=True):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(ValueError, match="tempo is"):
        VaryTempo((1.2, 0.8))
