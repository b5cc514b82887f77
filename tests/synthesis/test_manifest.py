import json

import pytest

from v2s_jax.errors import V2SError
from v2s_jax.synthesis.jobs import Job, Wanted
from v2s_jax.synthesis.manifest import Manifest, done_before, source_facts

MADE_BY = {"model": "m", "fingerprint": "f", "face": None}


@pytest.fixture
def finished(tmp_path):
    """An output folder with one clip done, and its job."""
    (tmp_path / "a.mp4").write_bytes(b"clip")
    out, job = tmp_path / "out", Job(tmp_path / "a.mp4", "a")
    out.mkdir()
    (out / "a.wav").touch()
    (out / "a.mp4").touch()
    with Manifest(out, []) as manifest:
        manifest.add(source_facts(job) | MADE_BY | {"status": "ok", "seconds": 1.0, "bytes": {"sound": 0, "video": 0}})
        manifest.finish({"clips": 1})
    return out, job


def test_done_clips_are_found_again(finished):
    out, job = finished
    done = done_before(out, [job], MADE_BY, Wanted())
    assert done["a"]["seconds"] == 1.0
    assert not (out / "failed.txt").exists()


@pytest.mark.parametrize("lost", ["a.wav", "a.mp4"])
def test_a_missing_output_is_made_again(finished, lost):
    out, job = finished
    (out / lost).unlink()
    assert not done_before(out, [job], MADE_BY, Wanted())
    assert bool(done_before(out, [job], MADE_BY, Wanted(video=False))) == (lost == "a.mp4")


def test_another_clip_model_or_face_is_made_again(finished):
    out, job = finished
    assert not done_before(out, [job], MADE_BY | {"fingerprint": "g"}, Wanted())
    assert not done_before(out, [job], MADE_BY | {"face": 2}, Wanted())
    job.source.write_bytes(b"another clip")
    assert not done_before(out, [job], MADE_BY, Wanted())


def test_failures_are_tried_again_and_listed(finished):
    out, job = finished
    with Manifest(out, []) as manifest:
        manifest.add(source_facts(job) | MADE_BY | {"status": "failed", "error": "a.mp4: no face"})
        manifest.finish()
    assert (out / "failed.txt").read_text() == f"{job.source}\ta.mp4: no face\n"
    assert not done_before(out, [job], MADE_BY, Wanted())
    with Manifest(out, []) as manifest:
        manifest.finish()
    assert not (out / "failed.txt").exists()


def test_a_line_cut_off_counts_as_not_done(finished):
    out, job = finished
    line = (out / "manifest.jsonl").read_text()
    (out / "manifest.jsonl").write_text(line + line[:30])
    done = done_before(out, [job], MADE_BY, Wanted())
    with Manifest(out, list(done.values())):
        pass
    assert [json.loads(x)["id"] for x in (out / "manifest.jsonl").read_text().splitlines()] == ["a"]


def test_unwritable(tmp_path):
    with pytest.raises(V2SError, match="cannot be written"):
        Manifest(tmp_path / "nowhere", [])
