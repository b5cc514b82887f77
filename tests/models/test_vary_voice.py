import jax.numpy as jnp
import numpy as np
from flax import nnx

from v2s_jax.models.rngs import Rngs
from v2s_jax.models.vary_voice import VaryVoice


def tones(rows, frames):
    t = np.arange(640 * frames) / 16000
    return jnp.asarray(np.stack([0.4 * np.sin(2 * np.pi * hz * t) for hz in (120, 170, 230)[:rows]]), jnp.float32)


def test_loudness_changes_in_training_alone_and_stays_below_full_scale():
    wave, length = tones(2, 4), jnp.array([4, 4])
    vary = VaryVoice((3.0, 20.0), (1.0, 1.0))
    louder, left = vary(wave, length, Rngs(0))
    ratio = jnp.abs(louder).max(1) / jnp.abs(wave).max(1)
    assert (ratio > 1.4).all() and abs(louder).max() <= 0.981 and ratio[0] != ratio[1]
    assert (left == length).all()
    same, _ = nnx.view(vary, deterministic=True)(wave, length, Rngs(0))
    np.testing.assert_array_equal(same, wave)


def test_speed_changes_pitch_and_the_number_of_frames():
    faster, left = VaryVoice((0.0, 0.0), (1.2, 1.25))(tones(3, 10), jnp.array([10, 4, 10]), Rngs(0))
    assert faster.shape == (3, 8 * 640) and left.tolist() == [8, 3, 8]
    pitch = np.abs(np.fft.rfft(faster[0] * np.hanning(5120))).argmax() * 16000 / 5120
    assert 120 * 1.17 < pitch < 120 * 1.28
