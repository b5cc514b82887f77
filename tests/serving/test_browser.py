"""The page in a real headless browser, with its camera: `V2S_BROWSER=/path/of/chromium pytest -m browser -n0`.

Not among the tests that run unasked, as no package index has a browser. It takes `pip install playwright`.
"""

import os

import av
import pytest

from v2s_jax.media.audio import read_wav
from v2s_jax.media.video import read_frames

pytestmark = pytest.mark.browser
SECONDS = 120


@pytest.fixture(scope="module")
def camera(clip_path, tmp_path_factory):
    """The clip as the raw video that Chromium plays as its camera."""
    path = tmp_path_factory.mktemp("camera") / "face.y4m"
    with av.open(str(path), "w", format="yuv4mpegpipe") as container:
        frames = list(read_frames(clip_path))
        stream = container.add_stream("wrapped_avframe", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p")))
    return path


@pytest.fixture(scope="module")
def browser(camera):
    from playwright.sync_api import sync_playwright

    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    alone = ["--no-sandbox", "--no-zygote", "--in-process-gpu", "--disable-webgl", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["V2S_BROWSER"],
            args=[*fake, *alone, f"--use-file-for-fake-video-capture={camera}"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser, client):
    """The page, its models listed; whatever it complains of or asks elsewhere fails the test."""
    page, complaints = browser.new_page(), []
    page.set_default_timeout(SECONDS * 1000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    own = ("blob:", "data:", f"http://{client.host}/")
    page.on("request", lambda asked: None if asked.url.startswith(own) else complaints.append(asked.url))
    page.goto(f"http://{client.host}/")
    page.wait_for_function("() => document.querySelector('#model').options.length > 0")
    yield page
    page.close()
    assert complaints == []


def spoken(page):
    """Clicks, waits for the end, and says what the page was seen to say meanwhile."""
    page.evaluate(
        "() => { window.seen = []; new MutationObserver(() => { const now = document.querySelector('#states .now');"
        " if (now && seen.at(-1) !== now.textContent) seen.push(now.textContent) })"
        ".observe(document.querySelector('#states'), {subtree: true, childList: true, attributes: true}) }"
    )
    page.click("#speak")
    page.wait_for_function(
        "() => document.querySelector('#error').textContent"
        " || !document.querySelector('#result').hidden && !document.querySelector('#speak').disabled"
    )
    return page.evaluate("() => seen"), page.text_content("#error")


def test_a_clip_is_heard_seen_and_downloaded(page, clip_path, tmp_path):
    page.set_input_files("#clip", clip_path)
    states, error = spoken(page)
    assert error == "" and "reading" in states and len(states) > 1
    page.wait_for_function("() => document.querySelector('#sound').readyState > 0")
    page.wait_for_function("() => document.querySelector('#film').readyState > 0")
    sound, film, width = page.evaluate(
        "() => [document.querySelector('#sound').duration, document.querySelector('#film').videoWidth,"
        " document.querySelector('#picture').naturalWidth]"
    )
    assert sound == pytest.approx(1, abs=0.05) and film > 0 and width > 100
    with page.expect_download() as download:
        page.click("#wav")
    download.value.save_as(tmp_path / "got.wav")
    assert len(read_wav(tmp_path / "got.wav")) == 16_000


def test_what_is_no_video_is_one_sentence(page):
    page.set_input_files("#clip", {"name": "notes.mp4", "mimeType": "video/mp4", "buffer": b"no video " * 100})
    _, error = spoken(page)
    assert "notes.mp4" in error and "Traceback" not in error


def test_a_recording_by_the_camera_is_spoken(page):
    page.click("#record")
    page.wait_for_timeout(2500)
    page.click("#record")
    page.wait_for_function("() => !document.querySelector('#speak').disabled")
    _, error = spoken(page)
    assert error == "" and page.text_content("#facts")
