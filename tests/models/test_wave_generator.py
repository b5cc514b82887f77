import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.small_vocoder import filled
from v2s_jax.models.modality_norm import AUDIO, BOTH, VIDEO
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.wave_generator import WaveGenerator, default_config


def small(**changes):
    config = default_config("small")
    config.update({"rates": (5, 4, 32), "channels": (6, 4, 2)} | changes)
    return config


@pytest.fixture(scope="module")
def generate():
    module = filled(lambda: WaveGenerator(small(), 8, rngs=Rngs(0)))
    module = nnx.view(module, use_running_average=True)
    return jax.jit(lambda x, mask, state: module(x, mask, state))


def features(rows: int = 2, frames: int = 4):
    return jax.random.normal(jax.random.key(1), (rows, frames, 8))


def test_a_padded_clip_sounds_as_the_clip_alone(generate):
    x, state = features(), jnp.array([VIDEO, BOTH])
    wave = generate(x, jnp.arange(4)[None] < jnp.array([[4], [2]]), state)
    assert wave.shape == (2, 4 * 640) and wave.dtype == jnp.float32
    alone = generate(x[1:, :2], jnp.ones((1, 2), bool), state[1:])
    np.testing.assert_allclose(wave[1, : 2 * 640], alone[0], atol=1e-5)
    np.testing.assert_array_equal(wave[1, 2 * 640 :], 0)
    assert 0.01 < np.abs(wave[0]).max() <= 1


def test_states_have_statistics_of_their_own(generate):
    x, mask = features(1), jnp.ones((1, 4), bool)
    seen, heard = (generate(x, mask, jnp.array([state])) for state in (VIDEO, AUDIO))
    assert np.abs(seen - heard).max() > 1e-3  # `filled` gave each its own


def test_every_sample_is_reached():
    module = filled(lambda: WaveGenerator(small(), 8, rngs=Rngs(0)))
    module = nnx.view(module, use_running_average=True)

    def energy(x):
        return jnp.abs(module(x, jnp.ones((1, 4), bool), jnp.array([BOTH]))).sum()

    assert (np.abs(jax.jit(jax.grad(energy))(features(1))) > 0).any(-1).all()


@pytest.mark.parametrize("changes", [{"rates": (5, 4, 4)}, {"channels": (6, 4)}])
def test_rates_that_do_not_lead_to_samples_are_refused(changes):
    with pytest.raises(ValueError, match="multiplying to 640"):
        WaveGenerator(small(**changes), 8, rngs=Rngs(0))
