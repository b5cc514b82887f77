import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import jax
import numpy as np
import pytest

from tests.program import PROGRAM
from tests.small_diffv2s import save_small
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.audio import read_audio, read_wav
from v2s_jax.media.mux import write_video
from v2s_jax.media.video import probe, read_frames
from v2s_jax.synthesis import command, outputs
from v2s_jax.synthesis.jobs import find_jobs
from v2s_jax.synthesis.reading import read
from v2s_jax.synthesis.synthesizer import Synthesizer


def synthesize(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*map(str, words), "--compilation-cache", "off"]))


def manifest(out):
    *lines, last = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert last.keys() == {"summary"}
    return {line["id"]: line for line in lines}


@pytest.fixture(scope="module")
def clips(tmp_path_factory, talker_clip):
    """A folder with a short clip without sound and, below it, clips that are broken in different ways."""
    folder = tmp_path_factory.mktemp("clips")
    frames = [frame for frame, _ in zip(read_frames(talker_clip), range(30), strict=False)]
    write_video(folder / "silent.mp4", frames, 25, None)
    (folder / "broken").mkdir()
    (folder / "broken" / "text.mp4").write_text("This is no video.\n" * 100)
    (folder / "broken" / "empty.mp4").touch()
    write_video(folder / "broken" / "nobody.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 5, 25, None)
    (folder / "truncated.mp4").write_bytes((folder / "silent.mp4").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def compiled(model):
    """The model in memory, for tests that need no fresh one."""
    return Synthesizer.from_pretrained(model)


@pytest.fixture
def quick(compiled, monkeypatch):
    """Lets the command take the model from memory."""
    monkeypatch.setattr(command.Synthesizer, "from_pretrained", lambda *_, **__: compiled)


@pytest.fixture(scope="module")
def spoken(clips, model, tmp_path_factory):
    """The command's exit status and output folder for that folder."""
    out = tmp_path_factory.mktemp("spoken") / "deep" / "out"
    return synthesize(clips, "--out", out, "--model", model, "--jobs", 2), out


def test_one_bad_clip_never_stops_the_batch(spoken, clips):
    status, out = spoken
    assert status == 3
    entries = manifest(out)
    assert {name: entry["status"] for name, entry in entries.items()} == {
        "silent": "ok",
        "truncated": "failed",
        "broken/text": "failed",
        "broken/empty": "failed",
        "broken/nobody": "failed",
    }
    for name, reason in {"text": "not a media file", "empty": "the file is empty", "nobody": "no face"}.items():
        assert reason in entries[f"broken/{name}"]["error"]
        assert str(clips / "broken" / f"{name}.mp4") in entries[f"broken/{name}"]["error"]
    assert len((out / "failed.txt").read_text().splitlines()) == 4
    assert not (out / "broken").exists()


def test_outputs_of_a_clip_without_sound(spoken):
    _, out = spoken
    assert sorted(path.name for path in out.iterdir()) == ["failed.txt", "manifest.jsonl", "silent.mp4", "silent.wav"]
    wave = read_wav(out / "silent.wav")
    assert len(wave) == 30 * 640 and abs(wave).max() > 0.01
    info = probe(out / "silent.mp4")
    assert info.has_audio and info.fps == 25
    sound = read_audio(out / "silent.mp4", 30)
    assert np.corrcoef(sound, wave)[0, 1] > 0.9


def test_manifest_tells_what_was_done(spoken, clips, model):
    entry = manifest(spoken[1])["silent"]
    assert (
        entry["source"] == str(clips / "silent.mp4") and entry["wav"] == "silent.wav" and entry["video"] == "silent.mp4"
    )
    assert entry["seconds"] == 1.2 and entry["model"] == str(model) and entry["warnings"] == []
    assert entry["sampler"] == {} and entry["precision"] == "float32"
    assert 0.5 < entry["coverage"] <= 1 and entry["faces_seen"] == 1 and entry["confidence"] > 0
    assert [stage for stage in entry["timings"] if stage != "compile"] == ["read", "network", "vocoder", "write"]
    total = sum(seconds for stage, seconds in entry["timings"].items() if stage != "compile")
    assert entry["real_time_factor"] == pytest.approx(total / 1.2, rel=0.01)


def test_a_second_run_skips_what_is_done_and_tries_the_rest_again(spoken, clips, model, capsys):
    _, out = spoken
    before = (out / "silent.wav").stat().st_mtime_ns
    shutil.copytree(out, again := out.parent / "again")
    (again / "silent.wav").write_bytes((out / "silent.wav").read_bytes())
    untouched = (again / "silent.wav").stat().st_mtime_ns
    assert synthesize(clips, "--out", again, "--model", model, "--jobs", 1) == 3
    assert (again / "silent.wav").stat().st_mtime_ns == untouched
    assert "0 of 4 clips" in (printed := capsys.readouterr()).out and "1 were done before" in printed.out
    assert "broken/empty.mp4: the file is empty" in printed.err
    assert manifest(again).keys() == manifest(out).keys()
    assert (out / "silent.wav").stat().st_mtime_ns == before


def test_no_video_and_a_whole_success(clips, model, tmp_path, capsys, quick):
    assert synthesize(clips / "silent.mp4", "--out", tmp_path / "out", "--model", model, "--no-video") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.jsonl", "silent.wav"]
    assert "1 of 1 clips spoken" in capsys.readouterr().out


def test_failed_clips_leave_no_older_output(clips, model, tmp_path, quick):
    (tmp_path / "nobody.wav").write_bytes(b"older")
    assert synthesize(clips / "broken/nobody.mp4", clips / "gone.mp4", "--out", tmp_path, "--model", model) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.txt", "manifest.jsonl"]
    assert "there is no such file" in manifest(tmp_path)["gone"]["error"]


def test_a_face_that_is_not_there(clips, model, tmp_path, quick):
    assert synthesize(clips / "silent.mp4", "--out", tmp_path, "--model", model, "--face", 2) == 3
    assert "face 2 was asked for" in manifest(tmp_path)["silent"]["error"]


def test_unwritable_output(clips, model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(V2SError, match="file/out: the folder cannot be made"):
        synthesize(clips / "silent.mp4", "--out", tmp_path / "file" / "out", "--model", model)


def test_full_disk_stops_with_one_sentence_and_nothing_half_written(clips, model, tmp_path, monkeypatch, quick):
    def full(path, waveform):
        raise V2SError(f"{path}: cannot be written (No space left on device); check the folder")

    monkeypatch.setattr(outputs, "write_wav", full)
    with pytest.raises(V2SError, match="No space left on device"):
        synthesize(clips / "silent.mp4", "--out", tmp_path, "--model", model)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.jsonl"]
    assert not (tmp_path / "manifest.jsonl").read_text()


def test_a_surprise_with_one_clip_is_its_own_failure(clips, model, tmp_path, monkeypatch, quick):
    def burst(*_):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(outputs, "put_sound_back", burst)
    assert synthesize(clips / "silent.mp4", "--out", tmp_path, "--model", model) == 3
    assert "silent.mp4: unexpected ZeroDivisionError: division by zero" in manifest(tmp_path)["silent"]["error"]


def test_a_model_of_another_config(clips, model, tmp_path):
    shutil.copytree(model, edited := tmp_path / "edited")
    config = json.loads((edited / "config.json").read_text())
    config["system"]["width"] = 24
    (edited / "config.json").write_text(json.dumps(config))
    with pytest.raises(V2SError, match="a model of another config"):
        synthesize(clips / "silent.mp4", "--out", tmp_path / "out", "--model", edited)
    assert not (tmp_path / "out").exists()


def test_no_such_model(clips, tmp_path):
    with pytest.raises(V2SError, match="there is no such model"):
        synthesize(clips, "--out", tmp_path / "out", "--model", tmp_path / "nothing")


def test_a_sampling_model_and_its_settings(clips, tmp_path, capsys):
    save_small(tmp_path / "model", synthesis={"vocoder": "griffin_lim", "griffin_lim_iterations": 2})
    waves = []
    for count in (1, 4):
        options = ["--model", tmp_path / "model", "--no-video", "--sampler", f"evaluations={count}"]
        assert synthesize(clips / "silent.mp4", "--out", tmp_path / str(count), *options) == 0
        waves.append(read_wav(tmp_path / str(count) / "silent.wav"))
    assert len(waves[0]) == len(waves[1]) == 30 * 640
    assert np.abs(waves[0] - waves[1]).max() > 1e-3
    with pytest.raises(V2SError, match="this model's sampler has no 'guidance': it knows evaluations"):
        synthesize(clips, "--out", tmp_path / "out", "--model", tmp_path / "model", "--sampler", "guidance=0")


def test_settings_that_no_sampler_has(clips, model, tmp_path, capsys):
    with pytest.raises(V2SError, match="this model's sampler has no 'evaluations': it knows none"):
        synthesize(clips, "--out", tmp_path / "out", "--model", model, "--sampler", "evaluations=2")
    for setting in ("evaluations=many", "guidance=nan", "evaluations=inf", "evaluations"):
        with pytest.raises(SystemExit):
            synthesize(clips, "--out", tmp_path / "out", "--sampler", setting)
        assert f"'{setting}' is no NAME=NUMBER" in capsys.readouterr().err


def test_records_of_a_data_set(talker_data, model, tmp_path, monkeypatch):
    real, made = Synthesizer.from_pretrained, []
    monkeypatch.setattr(
        command.Synthesizer, "from_pretrained", lambda *args, **named: made.append(real(*args, **named)) or made[-1]
    )
    options = ["--model", model, "--format", "flac", "--mel", "--split", "train", "--batch-size", 4, "--jobs", 1]
    assert synthesize(talker_data, "--out", tmp_path / "out", *options) == 0
    entries = manifest(tmp_path / "out")
    assert len(entries) == 6 and made[0].network.batch_size == 4
    for name, entry in entries.items():
        assert entry["wav"] == f"{name}.flac" and entry["mel"] == f"{name}.npy" and "video" not in entry
        wave, mel = read_wav(tmp_path / "out" / entry["wav"]), np.load(tmp_path / "out" / entry["mel"])
        assert len(wave) == 160 * len(mel) and mel.shape[1] == 80 and mel.dtype == np.float32
        assert entry["seconds"] == pytest.approx(len(wave) / 16000, abs=1e-3)
        assert 0.5 < entry["coverage"] <= 1 and entry["confidence"] > 0 and entry["warnings"] == []
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.flac")}
    assert synthesize(talker_data, "--out", tmp_path / "out", *options) == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.flac")}


def test_together_is_as_alone_and_a_bad_one_spoils_no_other(clips, model, talker_data, tmp_path):
    together = Synthesizer.from_pretrained(model, 3)
    jobs = find_jobs([talker_data], tmp_path)[:2] + find_jobs([clips / "silent.mp4"], tmp_path)
    things = [read(job, None, frozenset({"mouth"})).clip for job in jobs]
    empty = dataclasses.replace(things[1], mouth=things[1].mouth[:0])
    looks = [together.look(things[0]), together.look(empty), BadClip("nobody"), together.look(things[2])]
    found = dict(together.sounded(together.made(enumerate(looks))))
    assert "has no mouth" in str(found[1]) and str(found[2]) == "nobody"
    for index, thing in ((0, things[0]), (3, things[2])):
        [(_, alone)] = together.sounded(together.made([("", together.look(thing))]))
        np.testing.assert_allclose(found[index].waveform, alone.waveform, atol=1e-5)


def test_parts_share_the_work_and_each_other_s_results(clips, model, tmp_path, quick, capsys):
    for part in ("1/2", "2/2"):
        synthesize(clips, "--out", tmp_path, "--model", model, "--no-video", "--part", part, "--jobs", 1)
    lines = [(tmp_path / f"manifest-{part}-of-2.jsonl").read_text().splitlines() for part in (1, 2)]
    ids = [{json.loads(line)["id"] for line in own[:-1]} for own in lines]
    assert ids[0] | ids[1] == {"silent", "truncated", "broken/text", "broken/empty", "broken/nobody"}
    assert not ids[0] & ids[1] and (tmp_path / "silent.wav").is_file()
    assert synthesize(clips / "silent.mp4", "--out", tmp_path, "--model", model, "--no-video") == 0
    assert "1 were done before" in capsys.readouterr().out
    for wrong in ("0/2", "3/2", "1", "a/b"):
        with pytest.raises(SystemExit):
            synthesize(clips, "--out", tmp_path, "--part", wrong)


def test_all_is_compiled_ahead_and_the_stages_say_how_long_they_waited(talker_data, model, tmp_path, monkeypatch):
    compiled = []
    real = jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda self: compiled.append(threading.current_thread()) or real(self)
    )
    synthesize(talker_data, "--out", tmp_path, "--model", model, "--split", "train", "--jobs", 1)
    summary = json.loads((tmp_path / "manifest.jsonl").read_text().splitlines()[-1])["summary"]
    assert summary["clips"] == 6 and summary["failed"] == 0
    assert summary["compilations"] == summary["compiled_ahead"] == len(compiled)
    assert not {thread.name.split("-")[0] for thread in compiled} & {"MainThread", "network", "vocoder", "writing"}
    assert summary["waits"].keys() == {"reading", "network", "vocoder", "writing"}
    assert all(0 <= share <= 1 for share in summary["waits"].values())


def test_an_output_cut_short_is_made_again(clips, model, tmp_path, quick):
    command_line = (clips / "silent.mp4", "--out", tmp_path, "--model", model, "--no-video", "--jobs", 1)
    synthesize(*command_line)
    whole = (tmp_path / "silent.wav").read_bytes()
    (tmp_path / "silent.wav").write_bytes(whole[:1000])
    synthesize(*command_line)
    assert (tmp_path / "silent.wav").read_bytes() == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_whole_files_only(number, talker_clip, model, tmp_path):
    """A real process, stopped once it has begun to write; the next run does the rest."""
    for index in range(6):
        shutil.copy(talker_clip, tmp_path / f"{index}.mp4")
    out = tmp_path / "out"
    words = ["synthesize", tmp_path, "--out", out, "--model", model, "--jobs", 1, "--no-video"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    line = [*PROGRAM, *map(str, words)]
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(out.glob("*.wav")):
        time.sleep(0.02)
    process.send_signal(number)
    assert "Traceback" not in process.communicate(timeout=120)[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    made = [path.name for path in out.iterdir() if path.name != "manifest.jsonl"]
    assert 1 <= len(made) < 6 and all(name.endswith(".wav") and name[0] != "." for name in made)
    assert all(len(read_wav(out / name)) == 640 * 75 for name in made)
    assert list((tmp_path / "cache" / "v2s_jax" / "compiled").iterdir())
