import base64
import html.parser
import io
import math
import wave

import numpy as np
import pytest
from PIL import Image

from v2s_jax.errors import V2SError
from v2s_jax.evaluation import embed
from v2s_jax.evaluation.metrics import BY_NAME
from v2s_jax.evaluation.report import spoken, worst_first, write_report
from v2s_jax.evaluation.scoring import ClipScore, Evaluation, Pair, summarize
from v2s_jax.evaluation.table import text_table

VOID = {"meta", "img", "br", "path", "link"}


class Page(html.parser.HTMLParser):
    """Collects tags and checks that they nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def evaluation():
    metrics = [BY_NAME[name] for name in ("pesq", "estoi", "wer")]
    steps = (("bin", "bin"), ("<b>", "blue"), ("at", None), (None, "f"))
    clips = [
        ClipScore(
            f"clip & {i}",
            "bin <b> at",
            {"generated": {"pesq": 1.5, "estoi": value, "wer": 100.0}, "recording": {"wer": 0.0}},
            {"pesq": 1.0, "estoi": 1.0, "wer": 3.0},
            steps,
            (1.0, 1.0),
        )
        for i, value in enumerate([0.5, math.nan, 0.2, 0.9])
    ]
    means = summarize(clips, metrics)
    return Evaluation(metrics, "grid", clips, means, {"x<y": "too bad"}, ["A note."], {"model": "<mine>"})


@pytest.fixture
def pairs(voice):
    return [Pair(f"clip & {i}", voice, 0.5 * voice) for i in range(4)]


def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path, evaluation, pairs):
    figure = tmp_path / "curve_of_loss.svg"
    figure.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    write_report(tmp_path / "report.html", evaluation, pairs, n_clips=3, figures=[figure])
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert len(page.all("audio")) == 2 * 3
    assert len(page.all("img")) == 2 * 3 + 1
    sources = [attrs["src"] for tag, attrs in page.tags if "src" in attrs]
    assert all(source.startswith("data:") for source in sources)
    assert not page.all("link") and "url(" not in text and "@import" not in text
    assert "http" not in text.replace("data:", "")
    assert "&lt;mine&gt;" in text and "<mine>" not in text and "x&lt;y" in text
    assert "A note." in text and "curve of loss" in text


def test_worst_clips_come_first_and_the_unjudged_last(tmp_path, evaluation, pairs):
    ranked, metric = worst_first(evaluation)
    assert [clip.name for clip in ranked] == ["clip & 2", "clip & 0", "clip & 3", "clip & 1"]
    assert metric.name == "estoi"
    write_report(tmp_path / "report.html", evaluation, pairs, n_clips=1)
    text = (tmp_path / "report.html").read_text()
    assert text.count('<section class="clip">') == 1
    assert text.index("<h3>clip &amp; 2</h3>") < text.index("All clips")
    assert all(f"<td>clip &amp; {i}</td>" in text for i in range(4))


def test_a_failing_report_leaves_no_file(tmp_path, evaluation, pairs):
    with pytest.raises(V2SError, match="expected a picture"):
        write_report(tmp_path / "report.html", evaluation, pairs, figures=[tmp_path / "table.csv"])
    with pytest.raises(V2SError, match="cannot be read"):
        write_report(tmp_path / "report.html", evaluation, pairs, figures=[tmp_path / "missing.png"])
    assert list(tmp_path.iterdir()) == []


def test_words_heard_wrong_are_marked(evaluation):
    shown = spoken(evaluation.clips[0].steps)
    assert shown.startswith("bin <span")
    assert "<s>&lt;b&gt;</s> blue" in shown and "<s>at</s></span>" in shown and '"wrong">f<' in shown


def decoded(uri, kind):
    assert uri.startswith(f"data:{kind};base64,")
    return io.BytesIO(base64.b64decode(uri.split(",")[1]))


def test_embedded_sound_is_the_wave(voice):
    with wave.open(decoded(embed.sound(voice), "audio/wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16000, 1, len(voice))
        samples = np.frombuffer(file.readframes(len(voice)), "<i2") / 32767
    np.testing.assert_allclose(samples, voice, atol=1e-4)


def test_embedded_spectrogram_has_high_frequencies_above():
    tone = (0.3 * np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000)).astype(np.float32)
    image = np.asarray(Image.open(decoded(embed.spectrogram(tone), "image/png")).convert("L"), int)
    assert image.shape == (80, 100)
    assert image[:20, 5:-5].max() > 120 and image[40:, 5:-5].max() < 10  # the ends ring
    silent = Image.open(decoded(embed.spectrogram(np.zeros(10, np.float32)), "image/png"))
    assert silent.size == (1, 80)


def test_the_text_table_is_markdown(evaluation):
    lines = text_table(evaluation).splitlines()
    assert len(lines) == 2 + 3 and len({len(line) for line in lines}) == 1
    assert all(line.startswith("| ") and line.endswith(" |") and line.count("|") == 4 for line in lines)
    assert "generated [95 %]" in lines[0] and "real recording" in lines[0]
    estoi = [cell.strip() for cell in lines[3].split("|")[1:-1]]
    assert estoi[0] == "ESTOI ↑" and estoi[1].startswith("0.533 [") and estoi[2] == "-"
    assert [cell.strip() for cell in lines[4].split("|")[1:-1]] == ["WER (%) ↓", "100.0 [100.0, 100.0]", "0.0"]
