import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.interop.twins import copy_into, randomize
from v2s_jax.interop.tables.hifigan import critic_entries
from v2s_jax.interop.torch import hifigan as twin
from v2s_jax.models.critics import Critics, default_config
from v2s_jax.models.rngs import Rngs


@pytest.fixture(scope="module")
def config():
    config = default_config("small")
    config.update({"periods": (2, 3, 11), "period_channels": (2, 4, 4, 6, 6), "scale_channels": (4, 4, 8, 8, 8, 8, 8)})
    config.scale_groups = (1, 2, 4, 4, 4, 4, 1)
    return config


class Both(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.mpd, self.msd = twin.PeriodCritics(config), twin.ScaleCritics(config)

    def forward(self, wave):
        return self.mpd(wave) + self.msd(wave)


@pytest.fixture(scope="module")
def pair(config):
    theirs = randomize(Both(config.to_dict()))
    abstract = nnx.eval_shape(lambda: Critics(config, rngs=Rngs(0)))
    return copy_into(abstract, theirs, critic_entries(config.to_dict())), theirs


def tensor(x):
    """A feature map of ours with the axes of PyTorch's."""
    return np.asarray(x).transpose((0, 3, 2, 1) if x.ndim == 4 else (0, 2, 1))


@pytest.mark.parametrize("samples", [1200, 1201])
def test_verdicts_and_feature_maps_equal_the_twin(pair, samples):
    ours, theirs = pair
    wave = np.random.default_rng(0).normal(size=(2, samples)).astype(np.float32)
    with torch.inference_mode():
        expected = theirs(torch.tensor(wave)[:, None])
    found = jax.jit(ours)(jnp.asarray(wave))
    assert len(found) == len(expected) == 6
    for (verdict, maps), (true_verdict, true_maps) in zip(found, expected, strict=True):
        scale = max(1.0, float(abs(true_verdict).max()))
        np.testing.assert_allclose(verdict / scale, true_verdict / scale, atol=1e-5)
        for own, true in zip(maps, true_maps, strict=True):
            scale = max(1.0, float(abs(true).max()))
            np.testing.assert_allclose(tensor(own) / scale, true / scale, atol=1e-5)


def test_power_iterations_in_training_equal_the_twin(pair):
    ours, theirs = pair
    wave = np.random.default_rng(1).normal(size=(1, 400)).astype(np.float32)
    graphdef, state = nnx.split(nnx.view(ours.scales[0], use_running_average=False))

    @jax.jit
    def call(state):
        critic = nnx.merge(graphdef, state)
        verdict, _ = critic(jnp.asarray(wave))
        return verdict, nnx.state(critic)

    theirs = theirs.msd.discriminators[0].train()
    before = np.array(state["convs"][1]["weight_u"][...])
    for _ in range(2):
        verdict, state = call(state)
        with torch.no_grad():
            expected = theirs(torch.tensor(wave)[:, None])[0].numpy()
        np.testing.assert_allclose(verdict / abs(expected).max(), expected / abs(expected).max(), atol=1e-5)
    u = state["convs"][1]["weight_u"][...]
    np.testing.assert_allclose(u, theirs.convs[1].weight_u, atol=1e-5)
    assert abs(u - before).max() > 1e-3


def test_the_full_size_has_the_reference_number_of_places():
    found = nnx.eval_shape(lambda wave: Critics(default_config(), rngs=Rngs(0))(wave), jnp.zeros((1, 5120)))
    assert [verdict.shape[1] for verdict, _ in found] == [64, 66, 65, 70, 66, 80, 41, 21]  # the oracle's
    assert [len(maps) for _, maps in found] == 5 * [6] + 3 * [8]
