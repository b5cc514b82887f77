import re
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.serving.conftest import LIMIT, running
from v2s_jax.media.audio import write_wav
from v2s_jax.media.video import probe
from v2s_jax.serving import command
from v2s_jax.serving.app import make_app, policy
from v2s_jax.serving.desk import Desk

PAGE = Path(command.__file__).with_name("page.html")


def test_a_clip_in_speech_out_and_nothing_stays(client, desk, offers, clip_path, tmp_path):
    answer = client.submit(clip_path.read_bytes(), fields={"model": "talker-svts", "face": "1"})
    assert answer.status == 202
    task = answer.json["id"]
    last, states = client.finished(task)
    assert last["error"] is None and last["state"] == "done" and "reading" in states
    assert last["facts"]["seconds"] == 1.0 and last["facts"]["coverage"] > 0.9
    assert sorted(path.name for path in (desk.folder / task).iterdir()) == ["speech.mp4", "speech.png", "speech.wav"]
    speech = offers["talker-svts"].synthesizer(clip_path, face=1)
    write_wav(tmp_path / "expected.wav", speech.waveform)
    sound = client.ask("GET", f"/tasks/{task}/speech.wav")
    assert sound.data == (tmp_path / "expected.wav").read_bytes() and sound.headers["content-type"] == "audio/wav"
    (tmp_path / "speech.mp4").write_bytes(client.ask("GET", f"/tasks/{task}/speech.mp4").data)
    info = probe(tmp_path / "speech.mp4")
    assert info.has_audio and info.duration == pytest.approx(1, abs=0.1)
    assert client.ask("GET", f"/tasks/{task}/speech.png").data.startswith(b"\x89PNG")
    assert client.ask("GET", f"/tasks/{task}/clip.mp4").status == 404
    assert client.ask("DELETE", f"/tasks/{task}").status == 204
    assert client.ask("GET", f"/tasks/{task}/speech.wav").status == 404
    assert list(desk.folder.iterdir()) == []


def test_a_text_that_calls_itself_mp4_is_one_sentence_and_gone(client, desk):
    task = client.submit(b"This is no video.\n" * 100, "notes.mp4").json["id"]
    last, _ = client.finished(task)
    assert last["state"] == "failed"
    assert last["error"].startswith("notes.mp4: not a media file") and str(desk.folder) not in last["error"]
    assert list(desk.folder.iterdir()) == []
    assert client.ask("GET", f"/tasks/{task}/speech.wav").status == 404


def test_too_large_uploads_are_cut_off(client, desk):
    answer = client.submit(bytes(3 * LIMIT))
    assert answer.status == 413
    assert answer.json["error"] == "the upload is larger than 1 MB; send a shorter or smaller clip"
    block = b"--edge\r\nContent-Disposition: form-data; name=clip; filename=a.mp4\r\n\r\n" + bytes(100_000)
    undeclared = (block for _ in range(30))  # sent in chunks: nothing says how much there will be
    kind = {"Content-Type": "multipart/form-data; boundary=edge"}
    assert client.ask("POST", "/tasks", undeclared, **kind).status == 413
    assert list(desk.folder.iterdir()) == []


def test_an_upload_that_never_ends_is_given_up(offers):
    with Desk(lambda task: None) as desk, running(make_app(offers, desk, (), LIMIT, 0.3)) as client:
        with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
            head = f"POST /tasks HTTP/1.1\r\nHost: {client.host}\r\nContent-Length: 1000\r\n"
            connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=edge\r\n\r\n--edge".encode())
            start = time.monotonic()
            assert connection.recv(100).startswith(b"HTTP/1.1 408")
            assert time.monotonic() - start < 10
        assert list(desk.folder.iterdir()) == []


def test_other_web_pages_are_kept_away(client):
    refused = client.submit(b"x", Origin="https://example.org")
    assert refused.status == 403 and "another web page" in refused.json["error"]
    assert client.submit(b"x", Origin="null").status == 403
    assert client.submit(b"", Origin=f"http://{client.host}").status == 400
    assert client.ask("DELETE", "/tasks/some", Origin="https://example.org").status == 403
    rebound = client.ask("GET", "/", Host="example.org")
    assert rebound.status == 403 and "not one of the server's" in rebound.json["error"]
    assert client.ask("GET", "/", Host=f"localhost:{client.port}").status == 200
    assert client.ask("GET", "/", Host="[::1]:80").status == 200
    assert client.ask("GET", "/", Host="[::1").status == 403


def test_the_page_is_whole_and_runs_only_what_is_in_it(client):
    answer, page = client.ask("GET", "/"), PAGE.read_text("utf-8")
    assert answer.status == 200 and answer.data.decode() == page
    assert not re.search(r"https?://|src=|@import|url\(", page)
    rules = answer.headers["content-security-policy"]
    assert rules == policy(page) and "default-src 'none'" in rules and "unsafe" not in rules
    assert policy(page.replace("strict", "loose")) != rules
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"model": "nobody"}, "there is no such model here; expected one of talker-svts"),
        ({"face": "0"}, 'face is "0"; expected a whole number from 1 to 99'),
        ({"face": "-1"}, 'face is "-1"'),
        ({"evaluations": "2"}, "the model talker-svts has no number of evaluations to choose"),
        ({"evaluations": "9999"}, "expected a whole number from 1 to 250"),
    ],
)
def test_wrong_wishes_are_one_sentence(client, desk, fields, sentence):
    answer = client.submit(b"x", fields=fields)
    assert answer.status == 400 and sentence in answer.json["error"]
    assert list(desk.folder.iterdir()) == []


def test_what_is_no_clip_is_refused(client):
    assert "there is no clip" in client.submit(b"").json["error"]
    assert "takes no other voice" in client.submit(b"x", voice=b"y").json["error"]
    assert client.ask("POST", "/tasks", b"{}", **{"Content-Type": "application/json"}).status == 415
    assert client.ask("GET", "/tasks/unknown").json["error"].startswith("there is no such clip any more")
    assert client.ask("DELETE", "/tasks/unknown").status == 404
    assert client.ask("GET", "/nothing").status == 404


def test_the_page_is_told_of_models_and_bounds(client):
    model = {"name": "talker-svts", "system": "svts", "evaluations": None, "voice": False}
    assert client.ask("GET", "/about").json == {"models": [model], "max_bytes": LIMIT, "most_evaluations": 250}


def test_a_full_desk_says_so(offers):
    release = threading.Event()
    with Desk(lambda task: release.wait(), places=2) as desk:
        with running(make_app(offers, desk, (), LIMIT, 20)) as client:
            first, second = (client.submit(b"x").json["id"] for _ in range(2))
            assert client.ask("GET", f"/tasks/{second}").json["before"] == 1
            answer = client.submit(b"x")
            assert answer.status == 503 and answer.json["error"].startswith("2 clips are being worked on already")
            assert client.ask("DELETE", f"/tasks/{second}").status == 204
            assert client.submit(b"x").status == 202
            release.set()
            assert client.finished(first)[0]["state"] == "done"
