import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.small_vocoder import filled
from v2s_jax.models.audio_encoder import AudioEncoder
from v2s_jax.models.rngs import Rngs

ENCODER = filled(lambda: AudioEncoder(6, 2, 3, jnp.float32, Rngs(0)))
GRAPHDEF, STATE = nnx.split(ENCODER)


@jax.jit
def encode(mel, mask):
    return nnx.merge(GRAPHDEF, STATE)(mel, mask)


def mels(frames=7):
    return np.random.default_rng(0).normal(size=(2, 4 * frames, 80)).astype(np.float32)


def test_a_padded_clip_is_encoded_as_the_clip_alone_and_padding_is_zero():
    mel, mask = mels(), np.arange(7)[None] < np.array([[7], [4]])
    padded = encode(mel, mask)
    assert padded.shape == (2, 7, 6)
    np.testing.assert_allclose(padded[1, :4], encode(mel[1:, :16], mask[1:, :4])[0], atol=1e-5)
    np.testing.assert_array_equal(padded[1, 4:], 0)
    spoilt = mel.copy()
    spoilt[1, 16:] = 1e3
    np.testing.assert_array_equal(encode(spoilt, mask), padded)


def test_a_vector_is_of_the_mel_frames_around_its_video_frame():
    mel, mask = mels(15), np.ones((2, 15), bool)
    before = np.asarray(encode(mel, mask))
    mel[:, 4 * 7 : 4 * 8] += 1
    changed = np.abs(np.asarray(encode(mel, mask)) - before).max((0, 2)) > 1e-6
    where = np.flatnonzero(changed)
    assert changed[7] and where[0] + where[-1] == 14  # as far back as ahead


def test_an_even_number_of_taps_is_refused():
    with pytest.raises(ValueError, match="audio_encoder.taps is 4: expected an odd number"):
        AudioEncoder(6, 1, 4, jnp.float32, Rngs(0))
