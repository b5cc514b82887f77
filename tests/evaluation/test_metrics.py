import importlib.util
import math

import numpy as np
import pytest

from tests.evaluation.conftest import add_noise
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.metrics import BY_NAME, METRICS, Signals, choose


def without(monkeypatch, *packages):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else find(name))


def names(metrics):
    return [metric.name for metric in metrics]


def test_all_metrics_are_there_with_the_test_extra_and_an_encoder():
    chosen, notes = choose(None, with_text=True, encoder="models/ge2e")
    assert names(chosen) == names(METRICS) and notes == []
    assert len(BY_NAME) == len(METRICS)


def test_the_encoder_is_named_where_its_metric_is_explained():
    (metric,), _ = choose(["secs"], with_text=False, encoder="models/ge2e")
    assert "Encoder: ge2e;" in metric.about


def test_a_missing_package_costs_its_metrics_and_says_so_once(monkeypatch):
    without(monkeypatch, "onnxruntime", "pesq")
    chosen, notes = choose(None, with_text=True, encoder="models/ge2e")
    assert names(chosen) == ["stoi", "estoi", "mcd", "f0", "f0_gross", "voicing", "secs", "wer"]
    assert len(notes) == 2
    assert notes[0] == "Left out: PESQ; the package pesq is missing (pip install 'v2s-jax[eval]' adds it)."
    assert "DNSMOS, DNSMOS speech, DNSMOS noise; the package onnxruntime is missing" in notes[1]


def test_asking_for_what_cannot_be_had_is_refused(monkeypatch):
    without(monkeypatch, "pesq")
    with pytest.raises(V2SError, match=r"PESQ cannot be computed: the package pesq is missing .*v2s-jax\[eval\]"):
        choose(["pesq"], with_text=True)
    with pytest.raises(V2SError, match="WER cannot be computed: no clip has a text"):
        choose(["wer"], with_text=False)
    with pytest.raises(V2SError, match="there is no metric called 'mos'; the metrics are pesq, stoi"):
        choose(["mos"], with_text=True)


def test_every_metric_prefers_the_recording_to_noise_over_it(voice, encoder):
    """The stated direction is the true one, and a copy has the best value there is."""
    copy, bad = (Signals(voice, wave, encoder=encoder) for wave in (voice, add_noise(voice, 0.1)))
    for metric in METRICS:
        if metric.needs_text or not metric.needs_reference or metric.name in ("f0", "f0_gross"):
            continue  # noise does not move the F0 where it is found; the opinions have their own test
        good, worse = metric.compute(copy), metric.compute(bad)
        assert (good > worse) == (metric.better == "higher") and good != worse, metric.name


def test_f0_metrics_see_another_voice(voice):
    from tests.evaluation.conftest import make_voice

    signals = Signals(voice, make_voice(f0=180))
    assert BY_NAME["f0"].compute(signals) > 300  # a fifth and more is 700 cents
    assert BY_NAME["f0_gross"].compute(signals) > 50


def test_a_speaker_is_most_like_itself_and_silence_like_nobody(voice, encoder):
    secs = BY_NAME["secs"].compute
    assert secs(Signals(voice, voice, encoder=encoder)) == pytest.approx(1, abs=1e-5)
    assert secs(Signals(voice, 0 * voice, encoder=encoder)) == 0
    assert math.isnan(secs(Signals(0 * voice, voice, encoder=encoder)))
    assert math.isnan(secs(Signals(voice, voice)))


def test_the_shorter_wave_decides_the_length(voice):
    signals = Signals(voice, voice[:20000])
    assert len(signals.recording) == len(signals.candidate) == 20000
    assert BY_NAME["stoi"].compute(signals) == pytest.approx(1, abs=1e-6)


def test_silence_has_every_word_wrong():
    signals = Signals(np.ones(16000, np.float32), np.zeros(16000, np.float32), "bin blue at f two now", "grid")
    wer = BY_NAME["wer"]
    assert (wer.compute(signals), wer.weight(signals)) == (100, 6)


def test_empty_waves_have_no_value_and_raise_nothing():
    empty = np.zeros(0, np.float32)
    assert all(math.isnan(metric.compute(Signals(empty, empty))) for metric in METRICS if not metric.needs_text)
