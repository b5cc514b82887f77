import pytest

from tests.data.conftest import dataset_dir, records  # noqa: F401 (fixtures)
from tests.training import toy


@pytest.fixture
def toy_system(monkeypatch):
    """The trainer builds the toy system and reads the toy loader."""
    toy.use_toy(monkeypatch.setattr)
