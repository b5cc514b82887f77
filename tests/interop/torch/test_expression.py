import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from tests.interop.twins import copy_into, randomize
from v2s_jax.interop.table import linear
from v2s_jax.interop.tables.expression import entries
from v2s_jax.interop.torch import conditional_norm, expression
from v2s_jax.models.conditional_norm import ConditionalLayerNorm
from v2s_jax.models.expression import ExpressionEncoder
from v2s_jax.models.rngs import Rngs

CHANNELS = (2, 3, 4, 5)


def test_expressions_are_those_of_pytorch_and_padding_changes_nothing():
    theirs = randomize(expression.ExpressionEncoder(CHANNELS, 8))
    abstract = nnx.eval_shape(lambda: ExpressionEncoder(CHANNELS, 8, jnp.float32, Rngs(0)))
    ours = copy_into(abstract, theirs, entries(CHANNELS))
    faces = np.random.default_rng(1).standard_normal((2, 6, 48, 48)).astype(np.float32)
    mask = np.arange(6)[None] < np.array([[6], [3]])
    with torch.inference_mode():
        expected = theirs(torch.tensor(faces), torch.tensor(mask)).numpy()
        alone = theirs(torch.tensor(faces[1:, :3]), torch.tensor(mask[1:, :3])).numpy()
    found = np.asarray(jax.jit(lambda f, m: ours(f, m))(faces, mask))
    np.testing.assert_allclose(found[mask], expected[mask], atol=1e-5)
    np.testing.assert_allclose(expected[1, :3], alone[0], atol=1e-5)
    assert expected[mask].std() > 0.1


def test_a_conditional_norm_is_that_of_pytorch():
    theirs = randomize(conditional_norm.ConditionalLayerNorm(8, 5))
    ours = copy_into(ConditionalLayerNorm(8, 5, Rngs(0)), theirs, linear("modulate", "modulate"))
    x, speaker = (np.random.default_rng(1).standard_normal(s).astype(np.float32) for s in ((2, 3, 8), (2, 5)))
    with torch.inference_mode():
        expected = theirs(torch.tensor(x), torch.tensor(speaker)).numpy()
    np.testing.assert_allclose(jax.jit(lambda *given: ours(*given))(x, speaker), expected, atol=1e-5)
