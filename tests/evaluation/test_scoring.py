import json
import math

import numpy as np
import pytest

from tests.evaluation.conftest import add_noise
from v2s_jax.data.workers import Failure
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.evaluation import scoring
from v2s_jax.evaluation.metrics import BY_NAME
from v2s_jax.evaluation.scoring import ClipScore, Pair, evaluate, score, summarize


def test_a_pair_is_scored_in_every_row(voice):
    pair = Pair("a", voice, add_noise(voice, 0.01), "bin blue at f two now")
    clip = score(pair, ["stoi", "mcd", "wer"], "grid", ceiling=True)
    assert set(clip.values) == {"generated", "recording", "ceiling"}
    assert set(clip.values["recording"]) == {"wer"}  # the others compare it with itself
    assert clip.values["ceiling"]["stoi"] > clip.values["generated"]["stoi"]
    assert clip.values["ceiling"]["mcd"] < clip.values["generated"]["mcd"]
    assert clip.weights == {"stoi": 1, "mcd": 1, "wer": 6}
    assert len(clip.steps) >= 6 and clip.seconds == (2, 2)


def test_a_clip_without_text_has_no_share_in_the_word_errors(voice):
    clip = score(Pair("a", voice, voice), ["stoi", "wer"], "free", ceiling=False)
    assert set(clip.values["generated"]) == {"stoi"} and clip.steps == ()


def test_a_model_that_diverged_is_scored_as_silence_where_it_is_not_finite(voice):
    clip = score(Pair("a", voice, np.full_like(voice, np.nan)), ["pesq", "mcd"], "", ceiling=False)
    assert clip.values["generated"]["pesq"] == 1.0 and math.isfinite(clip.values["generated"]["mcd"])


def test_a_file_without_sound_is_a_bad_clip(tmp_path, voice):
    path = tmp_path / "a.wav"
    path.write_text("no sound")
    with pytest.raises(BadClip, match=r"a\.wav"):
        score(Pair("a", voice, path), ["stoi"], "", ceiling=False)


def test_word_errors_are_pooled_over_clips():
    def clip(wer, n):
        return ClipScore("a", "", {"generated": {"wer": wer, "stoi": 0.5}}, {"wer": n, "stoi": 1.0}, (), (1.0, 1.0))

    means = summarize([clip(100.0, 1.0), clip(0.0, 9.0)], [BY_NAME["wer"], BY_NAME["stoi"]])
    assert means["generated"]["wer"].mean == pytest.approx(10)
    assert means["generated"]["stoi"].mean == 0.5


def test_nothing_to_evaluate_is_refused(voice):
    with pytest.raises(V2SError, match="there is no clip to evaluate"):
        evaluate([])
    with pytest.raises(V2SError, match="the metrics are"):
        evaluate([Pair("a", voice, voice)], names=["nonsense"])
    with pytest.raises(V2SError, match="expected grid, free or a JSGF grammar"):
        evaluate([Pair("a", voice, voice, "hello")], grammar="missing.jsgf")


def test_one_bad_clip_is_left_out_and_told(tmp_path, voice):
    pairs = [Pair("good", voice, add_noise(voice, 0.01)), Pair("bad", voice, tmp_path / "missing.wav")]
    pairs.append(Pair("short", voice, 0 * voice[:16000]))
    evaluation = evaluate(pairs, names=["stoi", "f0"], jobs=1, failures={"lost": "no recording"})
    assert [clip.name for clip in evaluation.clips] == ["good", "short"]
    assert list(evaluation.failures) == ["lost", "bad"] and "missing.wav" in evaluation.failures["bad"]
    assert any("1 generated waveforms differ in length" in note and "short" in note for note in evaluation.notes)
    assert evaluation.means["generated"]["stoi"].n == 2
    assert "F0 error could be judged in 1 of 2 clips." in evaluation.notes

    path = tmp_path / "evaluation.json"
    evaluation.write_json(path)
    data = json.loads(path.read_text())
    assert data["schema"] == 1 and set(data["metrics"]) == {"stoi", "f0"}
    assert set(data["means"]["generated"]["stoi"]) == {"mean", "low", "high", "n"}
    assert data["clips"][0]["values"]["generated"]["stoi"] == evaluation.clips[0].values["generated"]["stoi"]
    assert data["failures"] == evaluation.failures and data["notes"] == evaluation.notes


def test_not_one_good_clip_is_an_error(tmp_path, voice, monkeypatch):
    outcome = Failure(f"{tmp_path}/missing.wav: no such file")
    monkeypatch.setattr(scoring, "run_isolated", lambda task, pairs, *_, **__: ((pair, outcome) for pair in pairs))
    with pytest.raises(V2SError, match="not one of 1 clips could be scored; the first: .*missing.wav"):
        evaluate([Pair("bad", voice, tmp_path / "missing.wav")], names=["stoi"], jobs=1)


def test_speakers_are_compared_by_the_encoder_asked_for(voice, encoder):
    pairs = [Pair("same", voice, voice), Pair("noise", voice, add_noise(voice, 0.05))]
    evaluation = evaluate(pairs, names=["secs"], speaker_encoder=encoder, jobs=1)
    same, noise = (clip.values["generated"]["secs"] for clip in evaluation.clips)
    assert same == pytest.approx(1, abs=1e-5) and noise < 0.9999
    assert "secs" not in evaluation.clips[0].values["recording"]
    assert "Encoder: tiny-ge2e" in evaluation.to_json()["metrics"]["secs"]["about"]


def test_a_missing_encoder_is_told_before_anything_is_scored(voice, tmp_path):
    with pytest.raises(V2SError, match="missing: there is no such model"):
        evaluate([Pair("a", voice, voice)], names=["secs"], speaker_encoder=str(tmp_path / "missing"))
    assert scoring.choose_encoder(["stoi"], str(tmp_path / "missing")) is None  # nobody needs it
