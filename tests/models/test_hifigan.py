import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.interop.twins import copy_into, randomize
from v2s_jax.interop.tables.hifigan import entries
from v2s_jax.interop.torch import hifigan as twin
from v2s_jax.models.hifigan import Generator, default_config
from v2s_jax.models.rngs import Rngs


def config_of(rates, taps, resblock="1", width=32, kernels=(3, 5), dilations=((1, 3), (1, 2))):
    config = default_config()
    config.update({"upsample_rates": rates, "upsample_kernel_sizes": taps, "resblock": resblock})
    config.upsample_initial_channel, config.resblock_kernel_sizes = width, kernels
    config.resblock_dilation_sizes = dilations
    config.num_mels = 6
    return config


def pair(config):
    """Our generator and its twin in PyTorch, with the same random weights."""
    torch.manual_seed(0)
    theirs = randomize(twin.Generator(config.to_dict()))
    abstract = nnx.eval_shape(lambda: Generator(config, rngs=Rngs(0)))
    return copy_into(abstract, theirs, entries(config.to_dict())), theirs


def mels(frames, rows=1, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(rows, frames, 6)), jnp.float32)


CASES = {
    "16k": config_of((5, 4, 4, 2), (11, 8, 8, 4)),
    "other blocks": config_of((2, 5, 4, 4), (16, 15, 4, 4), "2"),
    "five stages": config_of((5, 4, 2, 2, 2), (11, 8, 4, 4, 4), kernels=(3,), dilations=((1, 3, 5),)),
    "hop 256": config_of((8, 8, 2, 2), (16, 16, 4, 4)),
    "odd differences": config_of((5, 4), (10, 7), "2"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_equals_its_twin(name):
    ours, theirs = pair(CASES[name])
    mel = mels(7, rows=2)
    with torch.inference_mode():
        expected = theirs(torch.tensor(np.asarray(mel)).transpose(1, 2))[:, 0].numpy()
    wave = jax.jit(ours)(mel)
    assert wave.shape == (2, 7 * ours.hop) and wave.dtype == jnp.float32
    np.testing.assert_allclose(wave, expected, atol=1e-5)  # of one length, also where the original's would be longer


@pytest.mark.parametrize("name", ["16k", "odd differences"])
def test_a_padded_clip_equals_the_clip_alone(name):
    model, _ = pair(CASES[name])
    run, mel = jax.jit(model), mels(9, rows=2)
    padded = run(mel, jnp.array([6, 0]))
    np.testing.assert_allclose(padded[0, : 6 * model.hop], run(mel[:1, :6])[0], atol=1e-6)
    assert not padded[0, 6 * model.hop :].any() and not padded[1].any()


def test_another_order_of_axes_is_refused():
    model = nnx.eval_shape(lambda: Generator(CASES["16k"], rngs=Rngs(0)))
    with pytest.raises(ValueError, match=r"log_mel is \(1, 6, 9\), expected \[batch, frames, 6\]"):
        model(jnp.zeros((1, 6, 9)))


def test_bfloat16_is_close_and_gives_float32():
    config = CASES["other blocks"]
    model, _ = pair(config)
    narrow = nnx.merge(
        nnx.graphdef(nnx.eval_shape(lambda: Generator(config, rngs=Rngs(0), dtype=jnp.bfloat16))), nnx.state(model)
    )
    wave = jax.jit(narrow)(mels(5))
    assert wave.dtype == jnp.float32
    np.testing.assert_allclose(wave, jax.jit(model)(mels(5)), atol=0.05)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"resblock": "3"}, "resblock"),
        ({"upsample_kernel_sizes": (4, 8, 8, 4)}, "upsample_rates"),
        ({"upsample_rates": (0, 4, 4, 2)}, "upsample_rates"),
        ({"upsample_rates": (5, -4, 4, 2)}, "upsample_rates"),
        ({"resblock_kernel_sizes": (3, 4)}, "odd"),
        ({"upsample_initial_channel": 24}, "halved"),
    ],
)
def test_settings_that_make_no_generator(change, reason):
    config = config_of((5, 4, 4, 2), (11, 8, 8, 4))
    config.update(change)
    with pytest.raises(ValueError, match=reason):
        Generator(config, rngs=Rngs(0))
