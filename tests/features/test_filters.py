import librosa
import numpy as np

from v2s_jax.features.filters import hann, mel_filters, spreading


def test_filters_and_window_equal_librosas():
    np.testing.assert_allclose(mel_filters().T, librosa.filters.mel(sr=16000, n_fft=640, n_mels=80), atol=1e-8)
    np.testing.assert_allclose(hann(), librosa.filters.get_window("hann", 640), atol=1e-12)


def test_a_flat_spectrum_stays_flat_where_filters_reach():
    magnitude = np.full(321, 0.7, np.float32) @ mel_filters() @ spreading()
    reached = mel_filters().any(1)
    np.testing.assert_allclose(magnitude[reached], 0.7, rtol=1e-5)
    assert not magnitude[~reached].any()
