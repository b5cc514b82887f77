import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.small_vocoder import filled
from v2s_jax.models import hubert
from v2s_jax.models.listener import Listener, default_config
from v2s_jax.models.rngs import Rngs


def small(kind: str):
    config = default_config()
    if kind == "hubert":
        config.encoder = hubert.default_config("tiny")
        config.encoder.update({"convs": ((4, 10, 5), *((4, 3, 2),) * 4, *((4, 2, 2),) * 2), "width": 8, "hidden": 8})
        config.encoder.update({"heads": 2, "conv_pos": 4, "conv_pos_groups": 2, "normalise": True})
        config.layer = 1
    else:
        config.encoder.update({"layers": 1, "hidden": 4, "dim": 4})
    return nnx.view(filled(lambda: Listener(config, rngs=Rngs(0))), deterministic=True, raise_if_not_found=False)


@pytest.mark.parametrize("kind, frames", [("speaker", 21), ("hubert", 9)])
def test_frames_of_single_clips_with_gradients_to_the_sound(kind, frames):
    listener = small(kind)
    waves = 0.1 * jax.random.normal(jax.random.key(0), (2, 3200))

    def energy(waves):
        heard = listener(waves)
        return jnp.sum(heard[0] ** 2), heard

    (_, heard), slopes = jax.jit(jax.value_and_grad(energy, has_aux=True))(waves)
    assert heard.shape[:2] == (2, frames) and heard.dtype == jnp.float32
    assert np.isfinite(slopes).all() and (np.abs(slopes[0]) > 0).any()
    np.testing.assert_array_equal(slopes[1], 0)
    assert np.abs(heard[0] - heard[1]).max() > 1e-3


def test_other_parts_are_refused():
    config = default_config()
    config.encoder.name = "hifigan"
    with pytest.raises(ValueError, match="one of speaker, hubert"):
        Listener(config, rngs=Rngs(0))
