import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.data.conftest import dataset_dir, records  # noqa: F401 (fixtures)
from tests.training import toy


@pytest.fixture
def toy_system(monkeypatch):
    """The trainer builds the toy system and reads the toy loader."""
    toy.use_toy(monkeypatch.setattr)


@pytest.fixture(scope="module")
def compile_once(tmp_path_factory):
    """Runs share what XLA compiled: most of a toy run's time is the same step compiled again."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
