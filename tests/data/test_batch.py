import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.data.batch import Batch


def small(frames: int = 3) -> Batch:
    return Batch(
        length=np.array([frames, 1], np.int32),
        mouth=np.zeros((2, frames, 88, 88), np.uint8),
        audio=np.zeros((2, 640 * frames), np.float32),
    )


def test_batch_passes_through_jit_and_keeps_what_is_absent_absent():
    out = jax.jit(lambda batch: jax.tree.map(lambda x: x + jnp.ones_like(x), batch))(small())
    assert out.units is None
    np.testing.assert_array_equal(out.length, [4, 2])
    assert out.mouth.dtype == jnp.uint8


def test_leaves_are_named_by_field():
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(small())]
    assert paths == [".length", ".mouth", ".audio"]


def test_fields_of_different_numbers_of_frames_are_refused():
    with pytest.raises(Exception, match="energy"):
        Batch(length=np.array([3]), pitch=np.zeros((1, 12), np.float32), energy=np.zeros((1, 8), np.float32))


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match="no units"):
        small().need("units")
    assert small().need("mouth").shape == (2, 3, 88, 88)
