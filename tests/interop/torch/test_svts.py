import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.interop.twins import copy_into, randomize
from tests.small_model import small_config
from v2s_jax.data.batch import Batch
from v2s_jax.interop.tables import svts as table
from v2s_jax.interop.torch import conformer as twins
from v2s_jax.interop.torch.svts import SVTS
from v2s_jax.models import conformer
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.registry import build

MASK = np.arange(7)[None] < np.array([[7], [4]])


@pytest.fixture(scope="module")
def blocks():
    """A conformer block and its twin."""
    theirs = torch.nn.Module()
    theirs.block = randomize(twins.ConformerBlock(8, 2, 12, 5, 0.1))
    ours = nnx.eval_shape(lambda: nnx.Dict(block=conformer.ConformerBlock(8, 2, 12, 5, 0.1, jnp.float32, Rngs(0))))
    return theirs.block, copy_into(ours, theirs, table.conformer_block("block")).block


def frames():
    return np.random.default_rng(1).normal(size=(2, 7, 8)).astype(np.float32)


def test_positions_and_shift_are_those_of_pytorch():
    positions = twins.relative_positions(5, 6, torch.device("cpu"))
    np.testing.assert_allclose(conformer.relative_positions(5, 6), positions, atol=1e-6)
    scores = np.random.default_rng(0).normal(size=(2, 3, 4, 7)).astype(np.float32)
    shifted = twins.relative_shift(torch.tensor(scores))
    np.testing.assert_array_equal(conformer.relative_shift(jnp.asarray(scores)), shifted)


@pytest.mark.parametrize("part", ["feed_forward1", "attention", "conv", "feed_forward2", "norm", "block"])
def test_every_part_of_a_conformer_block_is_that_of_pytorch(blocks, part):
    theirs, ours = blocks if part == "block" else (getattr(block, part) for block in blocks)
    masked = part in ("attention", "conv", "block")
    with torch.inference_mode():
        expected = theirs(torch.tensor(frames()), *([torch.tensor(MASK)] if masked else [])).numpy()
    inputs = [frames(), *([MASK] if masked else [])]
    rngs = [] if part == "norm" else [None]
    found = np.asarray(jax.jit(lambda *arrays: ours(*arrays, *rngs))(*inputs))
    np.testing.assert_allclose(found[MASK], expected[MASK], atol=1e-5)


def clip(rows=2, size=88, speaker=False):
    rng = np.random.default_rng(2)
    mouth = rng.integers(0, 256, (rows, 7, size, size), dtype=np.uint8)
    embedding = rng.normal(size=(rows, 256)).astype(np.float32) / 16
    return mouth, np.array([7, 4], np.int32), embedding if speaker else None


def synthesize(system, mouth, length, speaker):
    batch = Batch(jnp.asarray(length), jnp.asarray(mouth), speaker_embedding=speaker)
    return np.asarray(jax.jit(lambda b: system.synthesize(b))(batch))


@pytest.mark.parametrize(
    "changes", [{"speaker_embedding": True, "crop": 64, "kernel_size": 5}, {"activation": "prelu", "blocks": 2}]
)
def test_the_whole_system_is_that_of_pytorch(changes):
    config = small_config(**changes).system
    theirs = randomize(SVTS(config.to_dict()))
    ours = copy_into(nnx.eval_shape(lambda: build(config, Rngs(0))), theirs, table.entries(config.to_dict()))
    mouth, length, speaker = clip(speaker=config.speaker_embedding)
    tensors = [None if value is None else torch.tensor(value) for value in (mouth, length, speaker)]
    with torch.inference_mode():
        expected = theirs(*tensors).numpy()
        alone = theirs(tensors[0][1:, :4], tensors[1][1:], None if speaker is None else tensors[2][1:]).numpy()
    assert expected.shape == (2, 28, 80) and expected.std() > 1
    np.testing.assert_allclose(synthesize(ours, mouth, length, speaker), expected, atol=1e-4)
    np.testing.assert_allclose(expected[1, :16], alone[0], atol=1e-5)
    np.testing.assert_allclose(expected[1, 16:], np.log(1e-5), atol=1e-6)


def test_a_missing_speaker_is_asked_for():
    with pytest.raises(ValueError, match="speaker_embedding"):
        SVTS(small_config(speaker_embedding=True).system.to_dict())(*map(torch.tensor, clip()[:2]))
