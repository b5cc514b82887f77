"""Clips without a file behind them, and a model folder."""

from pathlib import Path

import numpy as np
import pytest

from tests.small_model import save_small
from v2s_jax.media.clip import Clip
from v2s_jax.media.video import VideoInfo


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny untrained model."""
    folder = tmp_path_factory.mktemp("models") / "small"
    save_small(folder)
    return folder


@pytest.fixture(scope="session")
def make_clip():
    """Makes a clip of noise, `frames` long."""

    def make(frames: int, seed: int = 0) -> Clip:
        rng = np.random.default_rng(seed)
        return Clip(
            path=Path("noise.mp4"),
            mouth=rng.integers(0, 256, (frames, 96, 96), np.uint8),
            faces=rng.integers(0, 256, (2, 112, 112, 3), np.uint8),
            expression=rng.integers(0, 256, (frames, 48, 48), np.uint8),
            audio=None,
            coverage=1.0,
            confidence=1.0,
            n_faces=1,
            warnings=(),
            info=VideoInfo(frames / 25, 96, 96, 25.0, 0, False, "none", 0.0),
            boxes=np.zeros((frames, 4)),
            detected=np.ones(frames, bool),
        )

    return make
