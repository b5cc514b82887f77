import functools

import jax
import jax.numpy as jnp
import librosa
import numpy as np

from tests.speech import voice
from v2s_jax.features.filters import mel_filters
from v2s_jax.features.griffin_lim import mel_to_magnitude
from v2s_jax.features.mel import log_mel
from v2s_jax.features.mel_inversion import fit_mel, invert_mel, istft, stft


def test_the_transform_is_librosas_with_silence_beyond_the_ends():
    wave = voice(20)
    expected = librosa.stft(wave, n_fft=640, hop_length=160, pad_mode="constant")[:, :20].T
    np.testing.assert_allclose(jax.jit(stft)(wave[None])[0], expected, atol=1e-4)


def test_the_inverse_gives_the_waveform_back():
    waves = np.stack([voice(20), voice(20)[::-1]])
    valid = jnp.array([[True] * 20, [True] * 12 + [False] * 8])
    back = jax.jit(lambda w: istft(stft(w), valid))(waves)
    np.testing.assert_allclose(back[0], waves[0], atol=1e-6)
    assert not back[1, 160 * 12 :].any()
    np.testing.assert_allclose(back[1, : 160 * 10], waves[1, : 160 * 10], atol=1e-5)  # the last window lacks a half


def test_an_update_brings_the_mel_nearer():
    rng = np.random.default_rng(0)
    magnitude, wanted = rng.uniform(0.5, 2, (2, 1, 3, 321)).astype(np.float32)
    filters = mel_filters()
    mel = wanted @ filters
    back = jnp.asarray(mel @ filters.T)
    fitted = fit_mel(jnp.asarray(magnitude), back)
    before, after = (np.abs(np.asarray(a) @ filters - mel).mean() for a in (magnitude, fitted))
    assert after < 0.6 * before
    settled = fit_mel(jnp.asarray(wanted), back)
    np.testing.assert_allclose(settled, np.where(filters.any(1), wanted, 0), rtol=1e-4)


@functools.cache
def program(iterations, freedom):
    return jax.jit(lambda mel, magnitude: invert_mel(mel, magnitude, None, iterations, 0.2, freedom))


def mel_error(iterations, freedom):
    """How far the mel of what comes back is from the one asked for, where it is loud."""
    wave = voice(50)
    mel = log_mel(wave)
    found = np.asarray(program(iterations, freedom)(mel[None], mel_to_magnitude(np.exp(mel))[None])[0])
    assert found.shape == wave.shape and found.dtype == np.float32
    return np.abs(log_mel(found) - mel)[5:45][mel[5:45] > mel.max() - 5].mean()


def test_iterations_and_freedom_bring_the_mel_nearer():
    errors = {freedom: mel_error(40, freedom) for freedom in (0.0, 0.5, 1.0)}
    assert errors[1.0] < 0.8 * errors[0.0] and errors[0.5] < errors[0.0] < 0.5 * mel_error(0, 0.0)


def test_silence_stays_silent_and_finite():
    mel = np.full((1, 10, 80), np.log(1e-5), np.float32)
    wave = program(5, 0.5)(mel, np.zeros((1, 10, 321), np.float32))
    assert np.isfinite(wave).all() and np.abs(wave).max() < 1e-3


def test_a_padded_clip_equals_the_clip_alone():
    mel = log_mel(voice(30))
    magnitude = mel_to_magnitude(np.exp(mel))
    alone = program(5, 0.5)(mel[None, :20], magnitude[None, :20])[0]
    padded = jax.jit(lambda m, a, n: invert_mel(m, a, n, 5, 0.2, 0.5))(
        np.stack([mel, mel]), np.stack([magnitude, magnitude]), jnp.array([20, 0])
    )
    # Rounding differs with the number of rows, and every iteration multiplies it where the sound is quiet.
    assert np.square(padded[0, :3200] - alone).mean() < 1e-6 * np.square(alone).mean()
    assert not padded[0, 3200:].any() and not padded[1].any()
