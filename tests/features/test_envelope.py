import jax
import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.constants import LOG_FLOOR
from v2s_jax.features.envelope import SEGMENT, bands, envelope_correlation


def mels(rows: int = 1, frames: int = 100, seed: int = 0) -> jax.Array:
    """Natural-log mels of noise that comes and goes, differently in each band."""
    rng = np.random.default_rng(seed)
    slow = np.sin(np.arange(frames)[:, None] / 7 + rng.uniform(0, 6, 80))
    return jnp.asarray(-3 + 2 * slow + 0.3 * rng.standard_normal((rows, frames, 80)), jnp.float32)


def everywhere(mel):
    return jnp.ones((*mel.shape[:2], 1), bool)


def test_bands_are_third_octaves_from_150_hz():
    weights = bands()
    assert weights.shape == (80, 15) and (weights.sum(0) > 0).all()
    centres = 125 / 3 * 3 / 5 * np.arange(1, 81)  # Slaney's scale is linear up to 1000 Hz; only the low bands are asked
    heaviest = weights.argmax(0)
    assert heaviest[0] < heaviest[3] < heaviest[6] < heaviest[14] and abs(centres[heaviest[0]] - 150) < 75


def test_a_sound_is_like_itself_at_any_loudness_and_unlike_another():
    mel = mels()
    same = envelope_correlation(mel, mel + 0.7, everywhere(mel))
    assert float(same) == pytest.approx(1, abs=0.01)
    assert float(envelope_correlation(mel, mels(seed=5), everywhere(mel))) < 0.4


def test_what_is_blurred_more_is_less_alike():
    mel = mels()

    def blurred(width):
        window = np.ones(width) / width
        return jnp.asarray(np.apply_along_axis(lambda band: np.convolve(band, window, "same"), 1, mel), jnp.float32)

    found = [float(envelope_correlation(mel, blurred(width), everywhere(mel))) for width in (1, 5, 15, 31)]
    assert found == sorted(found, reverse=True) and found[0] - found[-1] > 0.2


def test_correlation_by_hand():
    target, candidate = mels(frames=SEGMENT), mels(frames=SEGMENT, seed=1)

    def normalised(mel):
        x = np.sqrt(np.exp(2 * np.asarray(mel[0], np.float64)) @ bands())
        for axis in (0, 1):
            x = x - x.mean(axis, keepdims=True)
            x = x / np.linalg.norm(x, axis=axis, keepdims=True)
        return x

    expected = (normalised(target) * normalised(candidate)).sum(1).mean()
    found = envelope_correlation(target, candidate, everywhere(target))
    assert float(found) == pytest.approx(expected, abs=0.01)


def test_silence_and_padding_do_not_count():
    mel, other = mels(frames=120), mels(frames=120, seed=1)
    mask = everywhere(mel).at[:, 90:].set(False)
    alone = envelope_correlation(mel[:, :90], other[:, :90], mask[:, :90])
    assert float(envelope_correlation(mel, other, mask)) == pytest.approx(float(alone), abs=1e-5)
    silent = jnp.full_like(mel, LOG_FLOOR)
    target, candidate = jnp.concatenate([mel, silent]), jnp.concatenate([other, other])
    assert np.isfinite(float(envelope_correlation(target, candidate, jnp.tile(mask, (2, 1, 1)))))
    short = envelope_correlation(mel[:, :20], other[:, :20], everywhere(mel[:, :20]))
    assert float(short) == 0


def test_gradients_are_finite_and_lead_to_likeness():
    mel, mask = mels(), everywhere(mels())
    unlike = jax.jit(jax.value_and_grad(lambda x: 1 - envelope_correlation(mel, x, mask)))
    x = mels(seed=3)
    first, gradient = unlike(x)
    for _ in range(30):
        _, gradient = unlike(x)
        assert np.isfinite(gradient).all()
        x = x - 0.3 * gradient / jnp.abs(gradient).max()
    assert float(unlike(x)[0]) < 0.8 * float(first)
    assert np.isfinite(unlike(jnp.full_like(mel, LOG_FLOOR))[1]).all()


def test_no_gradient_divides_by_how_many_numbers_equal_an_extreme():
    # Where they are computed twice and rounded differently none is equal, and the gradient 0 / 0.
    mel, mask = mels(), everywhere(mels())
    gradient = jax.jit(jax.grad(lambda x: envelope_correlation(mel, x, mask)))
    assert "= eq " not in str(jax.make_jaxpr(gradient)(mels(seed=3)))
