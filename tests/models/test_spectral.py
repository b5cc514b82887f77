import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.interop.twins import copy_into, randomize
from tests.small_vocoder import small_spectral_config
from v2s_jax.features.mel import log_mel
from v2s_jax.interop.tables.spectral import entries
from v2s_jax.interop.torch import spectral as twin
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.spectral import SpectralVocoder


def small_config(**settings):
    config = small_spectral_config().generator
    config.update(settings)
    return config


@functools.cache
def pair():
    """Our vocoder and its twin in PyTorch, with the same random weights."""
    config = small_config()
    theirs = randomize(twin.SpectralVocoder(config.to_dict()))
    abstract = nnx.eval_shape(lambda: SpectralVocoder(config, rngs=Rngs(0)))
    return copy_into(abstract, theirs, entries(config.to_dict())), theirs


def mels(frames, rows=1):
    return np.random.default_rng(0).normal(-3, 1, (rows, frames, 80)).astype(np.float32)


def test_it_equals_its_twin():
    ours, theirs = pair()
    mel = mels(7, rows=2)
    foreign = torch.tensor(mel).transpose(1, 2)
    with torch.inference_mode():
        magnitude, wave = theirs.log_magnitude(foreign).numpy(), theirs(foreign)[:, 0].numpy()
    np.testing.assert_allclose(jax.jit(lambda m: ours.log_magnitude(m))(mel), magnitude, atol=1e-5)
    found = jax.jit(ours)(mel)
    assert found.shape == (2, 7 * 160) and found.dtype == jnp.float32
    assert np.square(found - wave).mean() < 1e-6 * np.square(wave).mean()


def test_a_padded_clip_equals_the_clip_alone():
    model, _ = pair()
    mel = mels(9, rows=2)
    run = jax.jit(lambda m, n: (model.log_magnitude(m, n), model(m, n)))
    magnitude, wave = run(mel, jnp.array([6, 0]))
    alone, spoken = run(mel[:1, :6], jnp.array([6]))
    np.testing.assert_allclose(magnitude[0, :6], alone[0], atol=1e-5)
    assert np.square(wave[0, :960] - spoken[0]).mean() < 1e-6 * np.square(spoken).mean()
    assert not wave[0, 960:].any() and not wave[1].any()


def test_before_training_it_speaks_as_the_smooth_spectrum_says():
    config = small_config(iterations=20)
    graphdef, state = nnx.split(jax.jit(lambda: SpectralVocoder(config, rngs=Rngs(0)))())
    t = np.arange(16000) / 16000
    wave = (0.2 * np.sin(2 * np.pi * 200 * t) + 0.1 * np.sin(2 * np.pi * 1400 * t)).astype(np.float32)
    mel = log_mel(wave)
    made = jax.jit(lambda state, mel: nnx.merge(graphdef, state)(mel))(state, mel[None])[0]
    loud = mel > mel.max() - 3
    assert np.abs(log_mel(np.asarray(made)) - mel)[10:-10][loud[10:-10]].mean() < 0.3


def test_bfloat16_is_close_and_gives_float32():
    model, _ = pair()
    abstract = nnx.eval_shape(lambda: SpectralVocoder(small_config(), rngs=Rngs(0), dtype=jnp.bfloat16))
    narrow = nnx.merge(nnx.graphdef(abstract), nnx.state(model))
    one, other = (jax.jit(lambda m, of=of: of.log_magnitude(m))(mels(7)) for of in (model, narrow))
    assert other.dtype == jnp.float32
    np.testing.assert_allclose(one, other, atol=0.1)


def test_settings_and_mels_that_do_not_fit():
    with pytest.raises(ValueError, match="kernel_size 4 must be odd"):
        SpectralVocoder(small_config(kernel_size=4), rngs=Rngs(0))
    model, _ = pair()
    with pytest.raises(ValueError, match=r"log_mel is \(1, 80, 9\), expected \[batch, frames, 80\]"):
        model(jnp.zeros((1, 80, 9)))
