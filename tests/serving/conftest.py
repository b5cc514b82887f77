"""A server on a free port, a short clip, and a browser's way of asking, without the browser."""

import contextlib
import functools
import http.client
import json
import threading
import time
from typing import NamedTuple

import pytest
import uvicorn

from v2s_jax.media.mux import write_video
from v2s_jax.media.video import read_frames
from v2s_jax.serving import command
from v2s_jax.serving.app import make_app
from v2s_jax.serving.desk import Desk
from v2s_jax.serving.offers import by_name, load_offer
from v2s_jax.serving.speaking import speak
from v2s_jax.synthesis.demo import shipped_clip

LIMIT = 1_000_000


class Answer(NamedTuple):
    status: int
    headers: dict
    data: bytes

    @property
    def json(self):
        return json.loads(self.data)


class Client:
    """Asks a server at a port."""

    def __init__(self, port):
        self.port, self.host = port, f"127.0.0.1:{port}"

    def ask(self, method, path, data=None, **headers):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def submit(self, clip, name="clip.mp4", fields=(), voice=None, **headers):
        data = form(clip, name, dict(fields), voice)
        return self.ask("POST", "/tasks", data, **{"Content-Type": "multipart/form-data; boundary=edge"} | headers)

    def finished(self, task):
        """Its last state, and all that it went through, as far as they were seen."""
        states, end = [], time.monotonic() + 120
        while time.monotonic() < end:
            now = self.ask("GET", f"/tasks/{task}").json
            states += [now["state"]] if now["state"] not in states else []
            if now["state"] in ("done", "failed"):
                return now, states
            time.sleep(0.02)
        raise AssertionError(f"still {now} after two minutes")


def form(clip, name, fields, voice=None):
    parts = [(f'name="{key}"', str(value).encode()) for key, value in fields.items()]
    parts.append((f'name="clip"; filename="{name}"', clip))
    parts += [('name="voice"; filename="voice.wav"', voice)] if voice else []
    lines = (b"--edge\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (k.encode(), v) for k, v in parts)
    return b"".join(lines) + b"--edge--\r\n"


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory):
    """The first second of the demo's clip, without sound."""
    path = tmp_path_factory.mktemp("served") / "short.mp4"
    write_video(path, [frame for frame, _ in zip(read_frames(shipped_clip()[0]), range(25), strict=False)], 25, None)
    return path


@contextlib.contextmanager
def running(app):
    """An application on a free port, in a thread."""
    with command.listening("127.0.0.1", 0) as listener:
        server = uvicorn.Server(command.config(uvicorn, app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Client(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def offers():
    return by_name([load_offer("talker-svts")])


@pytest.fixture(scope="module")
def desk():
    with Desk(functools.partial(speak, seconds=60), places=2) as desk:
        yield desk


@pytest.fixture(scope="module")
def client(offers, desk):
    with running(make_app(offers, desk, command.host_names("127.0.0.1"), LIMIT, 20)) as client:
        yield client
