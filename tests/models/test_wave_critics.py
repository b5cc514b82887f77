import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.small_vocoder import filled
from v2s_jax.generative.wasserstein import gradient_penalty
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.wave_critics import WaveCritics, default_config, power


def small():
    config = default_config("small")
    config.update({"wave": (2, 3), "power": (2, 3)})
    return filled(lambda: WaveCritics(config, rngs=Rngs(0)))


def test_verdicts_are_on_single_rows():
    critics = small()
    verdicts = jax.jit(lambda wave: (critics.wave(wave), critics.power(power(wave))))
    waves = 0.1 * jax.random.normal(jax.random.key(0), (3, 3200))
    together = verdicts(waves)
    for both, alone in zip(together, verdicts(waves[::-1]), strict=True):
        assert both.shape == (3,)
        np.testing.assert_allclose(both, alone[::-1], rtol=1e-5)


def test_the_penalty_reaches_the_weights():
    critics = small()
    graphdef, state = nnx.split(critics)
    real, fake = 0.1 * jax.random.normal(jax.random.key(0), (2, 2, 3200))

    def penalty(state):
        critics = nnx.merge(graphdef, state)
        mix = jnp.array([0.3, 0.6])
        return gradient_penalty(critics.wave, real, fake, mix) + gradient_penalty(
            critics.power, power(real), power(fake), mix
        )

    gradients = nnx.to_pure_dict(jax.jit(jax.grad(penalty))(state))
    for critic in ("wave", "power"):
        kernel = gradients[critic]["convs"][0]["kernel"]
        assert np.isfinite(kernel).all() and (np.abs(kernel) > 0).any()
        assert (np.abs(gradients[critic]["verdict"]["kernel"]) > 0).any()


def test_the_power_critic_sees_loudness_not_phase():
    t = np.arange(3200) / 16000
    sine, cosine = (jnp.asarray(0.3 * f(2 * np.pi * 1000 * t), jnp.float32)[None] for f in (np.sin, np.cos))
    np.testing.assert_allclose(power(sine)[:, :, 32], power(cosine)[:, :, 32], atol=1e-3)
    assert (power(sine)[:, :, 32] - power(0.1 * sine)[:, :, 32]).min() > 0.4  # log(10) / 5
