import math

import numpy as np
import pytest

from tests.evaluation.conftest import add_noise as noisy
from v2s_jax.constants import LOG_FLOOR
from v2s_jax.evaluation import measures
from v2s_jax.features.mel import log_mel
from v2s_jax.features.pitch import pitch


def test_identical_waves_score_best(voice):
    assert measures.pesq_wideband(voice, voice) == pytest.approx(4.644, abs=1e-3)
    assert measures.stoi(voice, voice) == pytest.approx(1, abs=1e-6)
    assert measures.stoi(voice, voice, extended=True) == pytest.approx(1, abs=1e-4)
    assert measures.mel_cepstral_distortion(log_mel(voice), log_mel(voice)) == 0
    assert measures.f0_error_cents(pitch(voice), pitch(voice)) == 0


def test_more_noise_is_worse(voice):
    scores = [
        (
            -measures.pesq_wideband(voice, degraded),
            -measures.stoi(voice, degraded),
            -measures.stoi(voice, degraded, extended=True),
            measures.mel_cepstral_distortion(log_mel(voice), log_mel(degraded)),
        )
        for degraded in (noisy(voice, amount) for amount in (0.001, 0.01, 0.1))
    ]
    assert (np.diff(scores, axis=0) > 0).all(), scores


def test_a_silent_candidate_is_judged_worst_and_a_silent_recording_not_at_all(voice):
    silence = np.zeros_like(voice)
    assert (
        measures.pesq_wideband(voice, silence) == measures.PESQ_WORST < measures.pesq_wideband(voice, noisy(voice, 1))
    )
    assert measures.stoi(voice, silence) < 0.1
    assert math.isnan(measures.pesq_wideband(silence, voice))
    assert math.isnan(measures.stoi(silence, voice))


@pytest.mark.parametrize("n", [0, 100, 2000])
def test_too_short_is_not_a_number_and_no_warning(voice, n):
    short = voice[4000 : 4000 + n]
    assert math.isnan(measures.pesq_wideband(short, short))
    assert math.isnan(measures.stoi(short, short))


@pytest.mark.parametrize("k, expected", [(1, 0.5), (13, 0.5), (14, 0), (0, 0)])
def test_distortion_of_one_cosine(k, expected):
    # A ripple A cos(pi k (n + 1/2) / 80) has the one cepstrum c_k = A, so the distortion is 10 / ln 10 sqrt(2) A.
    flat = np.zeros((7, 80), np.float32)
    ripple = (0.5 * np.cos(np.pi * k * (np.arange(80) + 0.5) / 80)).astype(np.float32)
    distortion = measures.mel_cepstral_distortion(flat, flat + ripple)
    assert distortion == pytest.approx(10 / np.log(10) * np.sqrt(2) * expected, abs=1e-5)


def test_distortion_ignores_frames_where_the_recording_is_silent():
    recording = np.full((10, 80), LOG_FLOOR, np.float32)
    recording[:5] = 0
    candidate = recording.copy()
    candidate[5:, :40] = 0
    assert measures.mel_cepstral_distortion(recording, candidate) == 0
    candidate[0, :40] = -1
    assert measures.mel_cepstral_distortion(recording, candidate) > 0


def test_f0_errors_by_hand():
    recording = np.array([0, 100, 100, 100, 200, 0], np.float32)
    candidate = np.array([0, 100, 200, 100, 200, 150], np.float32)
    assert measures.f0_error_cents(recording, candidate) == pytest.approx(600)  # one octave in four frames
    assert measures.gross_f0_error(recording, candidate) == pytest.approx(25)
    assert measures.voicing_error(recording, candidate) == pytest.approx(100 / 6)
    assert math.isnan(measures.f0_error_cents(recording, 0 * candidate))
    assert math.isnan(measures.gross_f0_error(recording, 0 * candidate))


def test_dnsmos_hears_noise(voice):
    clean, spoilt = measures.dnsmos(voice), measures.dnsmos(noisy(voice, 0.05))
    assert set(clean) == {"overall", "signal", "background"}
    assert spoilt["background"] < clean["background"] - 0.5
    assert all(1 <= value <= 5 for value in clean.values())
    assert all(math.isfinite(value) for value in measures.dnsmos(np.zeros(16000, np.float32)).values())
    assert math.isnan(measures.dnsmos(np.zeros(0, np.float32))["overall"])


def test_speaker_similarity_is_the_cosine_of_the_embeddings():
    def encoder(wave):
        angle = wave[0]
        return np.array([np.cos(angle), np.sin(angle)])

    waves = [np.full(100, angle, np.float32) for angle in (0.2, 0.2 + np.pi / 3)]
    assert measures.speaker_similarity(waves[0], waves[0], encoder) == pytest.approx(1)
    assert measures.speaker_similarity(*waves, encoder) == pytest.approx(0.5)
