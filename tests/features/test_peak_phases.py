import jax
import jax.numpy as jnp
import numpy as np

from tests.speech import voice
from v2s_jax.features.mel_inversion import stft
from v2s_jax.features.peak_phases import peak_frequencies, peak_phases

KHZ = 40.0  # 1 kHz in bins of 25 Hz


def test_the_top_of_a_parabola_by_hand():
    heights = np.array([1.0, 2.0, 4.0, 3.0, 1.0, 1.0, 2.0], np.float32)
    found = peak_frequencies(jnp.exp(jnp.asarray(heights))[None])[0]
    top = 2 + (2 - 3) / (2 * (2 - 2 * 4 + 3))  # between 2, 4 and 3
    # The edge is a peak without a neighbour to bend towards; what is as near to both belongs to the left one.
    np.testing.assert_allclose(found, [top] * 5 + [6] * 2, rtol=1e-5)


def test_a_frame_without_peaks_is_finite():
    assert np.isfinite(peak_frequencies(jnp.zeros((2, 9)))).all()


def steady(frequencies):
    """Waveforms of sinusoids, bins to frequencies, 24 frames long."""
    time = np.arange(24 * 160)
    return np.stack([sum(np.cos(2 * np.pi * f / 640 * time + f) for f in chord) for chord in frequencies])


def test_the_frequency_of_a_sinusoid_between_bins():
    sounds = steady([[KHZ], [KHZ + 0.3], [KHZ + 0.5]]).astype(np.float32)
    found = jax.jit(lambda w: peak_frequencies(jnp.abs(stft(w))))(sounds)[:, 12, 40]
    np.testing.assert_allclose(found, [KHZ, KHZ + 0.3, KHZ + 0.5], atol=0.03)


def test_phases_are_those_of_steady_sounds_but_for_where_each_began():
    sounds = steady([[KHZ], [KHZ + 0.4]]).astype(np.float32)
    spectra = np.asarray(jax.jit(stft)(sounds))[:, 4:20]
    made = np.abs(spectra) * np.asarray(jax.jit(peak_phases)(np.abs(spectra)))
    likeness = np.abs((spectra.conj() * made).sum((1, 2))) / np.square(np.abs(spectra)).sum((1, 2))
    assert (likeness > 0.98).all(), likeness  # a third and less by phases of zero
    np.testing.assert_allclose(np.abs(made), np.abs(spectra), rtol=1e-4, atol=1e-5)


def test_no_frame_depends_on_a_later_one():
    magnitude = np.abs(np.asarray(jax.jit(stft)(voice(20)[None])))
    changed = np.concatenate([magnitude[:, :12], magnitude[:, 12:][:, ::-1]], 1)
    program = jax.jit(peak_phases)
    np.testing.assert_array_equal(program(magnitude)[:, :12], program(changed)[:, :12])
