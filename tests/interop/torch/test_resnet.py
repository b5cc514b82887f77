import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.interop.twins import copy_into, randomize
from v2s_jax.interop.tables import resnet as table
from v2s_jax.interop.torch import resnet as twin
from v2s_jax.models import resnet
from v2s_jax.models.rngs import Rngs

WIDTHS = (3, 4, 5, 6)


def both(activation):
    theirs = torch.nn.Module()
    theirs.resnet = randomize(twin.ResNetFrontend(WIDTHS, activation))
    ours = nnx.eval_shape(lambda: nnx.Dict(frontend=resnet.ResNetFrontend(WIDTHS, activation, jnp.float32, Rngs(0))))
    model = copy_into(ours, theirs, table.entries(WIDTHS, activation, "resnet", "frontend"))
    return theirs.resnet, model.frontend


def blocks(ours, x, mask):
    """What every block of the trunk gives."""
    outputs = []
    for block in ours.trunk:
        x = block(x, mask)
        outputs.append(x)
    return outputs


def clips():
    video = np.random.default_rng(1).normal(size=(2, 5, 32, 32)).astype(np.float32)
    return video, np.arange(5)[None] < np.array([[5], [3]])


def test_every_block_is_that_of_pytorch():
    theirs, ours = both("prelu")
    video, mask = clips()
    expected = []
    for block in (theirs.frontend3D, *(block for stage in theirs.trunk for block in stage)):
        block.register_forward_hook(lambda module, args, out: expected.append(out.numpy()))
    with torch.inference_mode():
        theirs(torch.tensor(video), torch.tensor(mask))
    stem = jnp.asarray(np.moveaxis(expected[0], 1, -1).reshape(10, 8, 8, -1))
    found = jax.jit(lambda x: blocks(ours, x, jnp.asarray(mask.reshape(-1, 1, 1, 1))))(stem)
    for ours_out, theirs_out in zip(found, expected[1:], strict=True):
        np.testing.assert_allclose(np.moveaxis(ours_out, -1, 1), theirs_out, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_the_whole_is_that_of_pytorch(activation):
    theirs, ours = both(activation)
    video, mask = clips()
    with torch.inference_mode():
        expected = theirs(torch.tensor(video), torch.tensor(mask)).numpy()
    found = np.asarray(jax.jit(lambda v, m: ours(v, m))(video, mask))
    np.testing.assert_allclose(found[mask], expected[mask], atol=1e-5)


def test_a_padded_clip_is_the_clip_alone_in_pytorch_too():
    theirs, _ = both("prelu")
    video = torch.tensor(np.random.default_rng(1).normal(size=(1, 5, 32, 32)).astype(np.float32))
    with torch.inference_mode():
        padded = theirs(video, torch.arange(5)[None] < 3)
        alone = theirs(video[:, :3], torch.ones(1, 3, dtype=torch.bool))
    np.testing.assert_allclose(padded[:, :3], alone, atol=1e-6)
