import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.features.frames import overlapping


@pytest.mark.parametrize(("size", "hop"), [(8, 2), (6, 4), (4, 4)])
def test_frames_are_windows_of_the_wave(size, hop):
    wave = np.arange(24, dtype=np.float32).reshape(1, 24)
    expected = np.lib.stride_tricks.sliding_window_view(wave[0, : 24 - (-size % hop)], size)[::hop]
    np.testing.assert_array_equal(overlapping(jnp.asarray(wave), size, hop)[0], expected)
    np.testing.assert_array_equal(overlapping(jnp.asarray(wave[0]), size, hop), expected)
