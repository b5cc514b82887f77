import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.small_vocoder import small_spectral_config, tones
from v2s_jax.data.batch import Batch
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.features.mel_inversion import stft
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.base import System
from v2s_jax.systems.registry import build
from v2s_jax.training.defaults import default_config
from v2s_jax.training.state import create_state, make_players
from v2s_jax.training.step import make_train_step


@functools.cache
def small_system():
    return jax.jit(lambda: build(small_spectral_config(), Rngs(0)))()


def loss_of(batch):
    graphdef, state = nnx.split(nnx.view(small_system(), raise_if_not_found=False, deterministic=True))
    return jax.jit(lambda s, b: nnx.merge(graphdef, s).loss(b, Rngs(0)))(state, batch)


def test_it_is_a_system():
    system = small_system()
    assert isinstance(system, System)
    assert (system.kind, system.fields) == ("waveform", {"audio"})


def test_the_loss_by_hand():
    batch = tones()
    loss, metrics = loss_of(batch)
    mel, spectrum = log_mel_jax(jnp.asarray(batch.audio)), stft(jnp.asarray(batch.audio))
    found = jax.jit(lambda m: small_system().generator.log_magnitude(m))(mel)
    wanted = np.abs(spectrum)
    np.testing.assert_allclose(metrics["log"], np.abs(found - np.log(np.maximum(wanted, 1e-4))).mean(), rtol=1e-4)
    loudness = np.abs(np.exp(0.3 * found) - np.maximum(wanted, 1e-6) ** 0.3).mean()
    np.testing.assert_allclose(metrics["loudness"], loudness, rtol=1e-4)
    np.testing.assert_allclose(loss, 0.3 * metrics["log"] + 3 * metrics["loudness"], rtol=1e-5)


def test_padding_changes_neither_the_sound_nor_the_loss():
    # A frame of zeros at the end of the clip itself, so that no analysis window reaches beyond it.
    audio = np.pad(tones(rows=1).audio[:, :1920], ((0, 1), (0, 1280)))
    alone = Batch(length=np.array([4], np.int32), audio=audio[:1, :2560])
    padded = Batch(length=np.array([4, 0], np.int32), audio=audio)
    synthesize = jax.jit(lambda b: small_system().synthesize(b))
    one, both = synthesize(alone), synthesize(padded)
    assert both.shape == (2, 3200) and not both[0, 2560:].any() and not both[1].any()
    assert np.square(both[0, :2560] - one[0]).mean() < 1e-5 * np.square(one).mean()
    np.testing.assert_allclose(loss_of(padded)[0], loss_of(alone)[0], rtol=1e-3)


@functools.cache
def start():
    config = default_config()
    config.system = small_spectral_config()
    config.optimizer.update({"schedule": "constant", "learning_rate": 5e-3})
    players = make_players(small_system(), small_system().stages()["regression"], config)
    state = create_state(small_system(), players, 0.0, jax.random.key(1))
    return state, jax.jit(make_train_step(small_system(), players, 0.0))


def test_silence_has_finite_gradients():
    state, step = start()
    _, metrics = step(state, Batch(length=np.full(2, 4, np.int32), audio=np.zeros((2, 2560), np.float32)))
    assert metrics["finite"]


@pytest.mark.slow
def test_one_batch_is_learned():
    state, step = start()
    found = []
    for _ in range(150):
        state, metrics = step(state, tones())
        found.append(float(metrics["loss"]))
    assert np.mean(found[-10:]) < 0.5 * found[0]
