"""The U-Net beside PyTorch, from its smallest part up, in a padded batch."""

import functools

import jax
import numpy as np
import pytest
import torch
from flax import nnx

from tests.interop.twins import copy_into, randomize
from v2s_jax.interop.tables import denoisers as table
from v2s_jax.interop.torch.denoisers import DENOISERS
from v2s_jax.interop.torch.unet1d import UNet1d
from v2s_jax.models.registry import build_denoiser
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.unet1d import default_config

NARROW = dict(channels=12, condition=5, widths=(4, 6), heads=2, head_dim=3, expansion=2, groups=2, middle=1)
LENGTHS = np.array([7, 4])
MASK = np.arange(7)[None] < LENGTHS[:, None]


@functools.cache
def pair(**changes):
    config = default_config("small")
    config.update(NARROW | changes)
    theirs = randomize(DENOISERS["unet1d"](config.to_dict()))
    ours = nnx.eval_shape(lambda: build_denoiser(config, Rngs(0)))
    return theirs, copy_into(ours, theirs, table.entries(config.to_dict()))


def inputs():
    rng = np.random.default_rng(1)
    x, condition = (rng.standard_normal((2, 7, width), np.float32) for width in (12, 5))
    return x, np.array([0.2, 0.7], np.float32), condition, MASK


def predicted(theirs, *given):
    with torch.inference_mode():
        return theirs(*map(torch.tensor, given)).numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unstack": 1, "widths": (4, 6, 8), "blocks": 2},  # 7 frames, 8 with those that make it even
        {"unstack": 3, "widths": (6,), "groups": 3},
    ],
    ids=["small", "deep", "flat"],
)
def test_predictions_are_those_of_pytorch(changes):
    theirs, ours = pair(**changes)
    expected = predicted(theirs, *inputs())
    found = np.asarray(jax.jit(lambda *given: ours(*given))(*inputs()))
    np.testing.assert_allclose(found[MASK], expected[MASK], atol=1e-5)
    assert isinstance(theirs, UNet1d) and expected[MASK].std() > 0.1


def test_a_padded_clip_is_the_clip_alone_in_pytorch_too():
    theirs, _ = pair(unstack=1)
    x, time, condition, mask = inputs()
    expected = predicted(theirs, x[1:, :4], time[1:], condition[1:, :4], mask[1:, :4])
    x[1, 4:], condition[1, 4:] = 9.0, -9.0
    np.testing.assert_allclose(predicted(theirs, x, time, condition, mask)[1, :4], expected[0], atol=1e-5)
