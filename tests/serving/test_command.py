import os
import signal
import socket
import subprocess

import pytest

from tests.program import PROGRAM
from tests.serving.conftest import Client
from v2s_jax.errors import V2SError
from v2s_jax.serving import command
from v2s_jax.serving.decoding import voice_in
from v2s_jax.serving.offers import shipped_speakers
from v2s_jax.synthesis.demo import shipped_clip


def test_a_port_in_use_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(V2SError, match="cannot listen there .*; name another --host or --port"):
            command.listening("127.0.0.1", taken.getsockname()[1])


def test_names_and_addresses():
    assert command.host_names("127.0.0.1") == {"localhost"}
    assert {"localhost", "0.0.0.0", socket.gethostname()} == command.host_names("0.0.0.0")
    with command.listening("127.0.0.1", 0) as listener:
        assert command.address(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert command._loopback(listener)


def test_only_models_that_speak_are_offered():
    assert shipped_speakers()[0] == "talker-svts"
    assert not {"spectral-small", "voices-ge2e"} & set(shipped_speakers())


def test_voices_are_heard_in_files_with_sound(clip_path):
    assert voice_in(shipped_clip()[0]).ndim == 1
    with pytest.raises(V2SError, match="expected the recording of a voice, found no sound in it"):
        voice_in(clip_path)


def test_ctrl_c_leaves_nothing(tmp_path, clip_path):
    words = [*PROGRAM, "serve", "--port", "0", "--model", "talker-svts"]
    words += ["--compilation-cache", "off"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        line = server.stdout.readline()
        assert line.startswith("http://127.0.0.1:") and "talker-svts" in line
        client = Client(int(line.split()[0].rpartition(":")[2]))
        assert client.submit(clip_path.read_bytes()).status == 202
        (folder,) = tmp_path.glob("v2s-serve-*")
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=60)
    assert server.returncode == 130 and err.strip() == "v2s-jax serve: interrupted"
    assert not folder.exists() and list(tmp_path.iterdir()) == []
