import stat

import jax
import pytest

from tests.small_data import save_small_data
from v2s_jax.errors import V2SError
from v2s_jax.synthesis.compilation import Ahead, expected_frames, keep_compiled
from v2s_jax.synthesis.jobs import Job, find_jobs
from v2s_jax.synthesis.synthesizer import Synthesizer


@pytest.fixture
def no_cache():
    """Jax as it is without a folder, and as it was afterwards."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_user_s_own_cache_folder(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    keep_compiled("off")
    assert jax.config.jax_compilation_cache_dir is None and not (tmp_path / "cache").exists()
    keep_compiled(None)
    folder = tmp_path / "cache" / "v2s_jax" / "compiled"
    assert jax.config.jax_compilation_cache_dir == str(folder) and stat.S_IMODE(folder.stat().st_mode) == 0o700
    keep_compiled(str(tmp_path / "mine"))
    keep_compiled(None)  # jax knows of one
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    (tmp_path / "file").touch()
    with pytest.raises(V2SError, match="file/x: the folder cannot be made .*; name one, or off"):
        keep_compiled(str(tmp_path / "file" / "x"))


def test_lengths_are_looked_up_where_that_is_quick(talker_clip, tmp_path):
    assert expected_frames([Job(talker_clip, "a"), Job(tmp_path / "gone.mp4", "b")]) == {75}
    records = find_jobs([save_small_data(tmp_path, (20, 31, 20))], tmp_path)
    assert expected_frames(records) == {20, 31}
    assert expected_frames([*(job for job in records if job.index != 1), Job(talker_clip, "a")]) >= {20, 75}
    assert expected_frames([Job(talker_clip, str(index)) for index in range(100)]) is None
    assert expected_frames([]) == set()


def test_the_rungs_of_the_expected_lengths_are_compiled_and_longer_ones_known(model, monkeypatch):
    synthesizer = Synthesizer.from_pretrained(model)
    compiled = []
    monkeypatch.setattr(synthesizer, "compile", compiled.append)
    with Ahead(synthesizer, {20, 40, 1000}) as ahead:
        pass
    assert sorted(compiled) == [25, 50, 75][-len(compiled) :] and ahead.programs == 3
    assert ahead.rungs == (25, 50, 75) and ahead.vocoder_rungs == ()
    assert Ahead(synthesizer, {10}).rungs == (25, 38, 50, 75)
    assert Ahead(synthesizer, None).rungs == synthesizer.network.rungs and Ahead(synthesizer, set()).programs == 0
