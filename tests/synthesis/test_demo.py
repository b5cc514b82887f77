import argparse
import json
import shutil

import pytest
from PIL import Image

from tests.small_model import save_small
from v2s_jax.errors import V2SError
from v2s_jax.media.audio import read_wav
from v2s_jax.media.video import probe
from v2s_jax.models import shipped
from v2s_jax.synthesis import demo

SENTENCE = "bin blue at f two now"


def run(*words):
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return demo.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def assets(tmp_path, talker_clip, monkeypatch):
    """Assets as they ship, with an untrained model."""
    folder = tmp_path / "assets"
    (folder / "demo").mkdir(parents=True)
    shutil.copy(talker_clip, folder / "demo" / "clip.mp4")
    (folder / "demo" / "clip.json").write_text(json.dumps({"text": SENTENCE}))
    save_small(folder / "talker-svts")
    monkeypatch.setattr(shipped, "assets", lambda: folder)
    return folder


def test_the_whole_road(assets, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--out", out) == 0
    files = {"report.html", "speech.mp4", "speech.png", "speech.wav", "true.wav"}
    assert {path.name for path in out.iterdir()} == files
    wave, true = read_wav(out / "speech.wav"), read_wav(out / "true.wav")
    assert len(wave) == len(true) and abs(wave - true).max() > 0.01
    assert probe(out / "speech.mp4").has_audio
    with Image.open(out / "speech.png") as image:
        width, height = image.size
    assert width == len(wave) // 160 * 3 and height > 500
    assert (out / "report.html").read_text().count("<audio") == 2
    printed = capsys.readouterr().out
    words = ("recognised", "word errors", "STOI", "ESTOI", "real-time factor", "network", "vocoder")
    assert all(word in printed for word in (SENTENCE, str(out / "speech.wav"), *words))


def test_damaged_installation(assets, tmp_path):
    (assets / "demo" / "clip.json").write_text("[]")
    with pytest.raises(V2SError, match="install v2s_jax again"):
        run("--out", tmp_path / "out")


def test_unwritable(assets, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(V2SError, match="cannot be made"):
        run("--out", tmp_path / "file")
