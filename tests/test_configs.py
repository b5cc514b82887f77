"""Every experiment in configs/ builds at its own size, and trains when shrunk."""

import json
from pathlib import Path

import jax
import pytest
from flax import nnx

from tests.shrink import shrink
from v2s_jax.systems.registry import build
from v2s_jax.training.command import load_config
from v2s_jax.training.loop import train

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.py"))


def test_there_are_configs():
    assert {"svts_grid", "svts_talker", "svts_lrs3"} <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds_its_system(path):
    config = load_config(path)
    system = nnx.eval_shape(lambda: build(config.system, nnx.Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(system, nnx.Param))) > 100_000


def different() -> list[Path]:
    """One config of those that are the same once they are shrunk, as of two corpora."""
    return sorted({shrink(load_config(path), Path("data")).to_json(): path for path in reversed(CONFIGS)}.values())


@pytest.mark.slow
@pytest.mark.parametrize("path", different(), ids=lambda path: path.stem)
def test_every_config_trains_two_steps(path, talker_tokens, tmp_path):
    config = shrink(load_config(path), talker_tokens)
    assert train(config, tmp_path) == 0
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {entry["step"] for entry in entries if any(name.startswith("loss") for name in entry)} == {1, 2}
    assert any(config.train.best in entry for entry in entries)
    assert {path.name for path in tmp_path.iterdir() if (path / "checkpoints").is_dir()} == set(
        config.train.stages[:-1]
    )
