"""Every experiment in configs/ builds at its own size, and trains when shrunk."""

import json
from pathlib import Path

import jax
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.shrink import shrink
from v2s_jax.errors import V2SError
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.base import speaks
from v2s_jax.systems.registry import build
from v2s_jax.training.checkpoint import read_weights
from v2s_jax.training.command import load_config
from v2s_jax.training.grafts import left_random
from v2s_jax.training.loop import train
from v2s_jax.training.plan import abstract_system
from v2s_jax.training.state import split_system

DRAFTED = ("both", "both,pretrained", "dropout")
CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.py"))


def test_there_are_configs():
    assert {"svts_grid", "svts_talker", "svts_lrs3"} <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds_its_system(path):
    config = load_config(path)
    system = nnx.eval_shape(lambda: build(config.system, Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(system, nnx.Param))) > 100_000


@pytest.mark.parametrize("variant", ["audio", "video", "both", "both,pretrained", "dropout", "spoiled"])
def test_every_variant_of_an_av2a_builds(variant):
    path = CONFIGS[0].parent / "av2a_grid.py"
    config = load_config(f"{path}:{variant}")
    assert config.data.path.endswith("_drafts") == (variant in DRAFTED)
    parts = {here for _, _, here in config.train.grafts}
    small = shrink(config, path).system
    system = nnx.eval_shape(lambda: build(small, Rngs(0)))
    assert ("draft" in system.fields) == (variant in DRAFTED)
    assert ("base" in parts) == hasattr(system, "base") == variant.startswith("both")
    assert all(hasattr(system, part) for part in parts)


@pytest.mark.parametrize("path", ["faces2voices_grid", "faces2voices_lrs3"])
def test_another_decoder_is_a_variant_and_not_a_name_alone(path):
    file = CONFIGS[0].parent / f"{path}.py"
    config = load_config(f"{file}:unet1d")
    system = nnx.eval_shape(lambda: build(config.system, Rngs(0)))
    assert type(system.decoder).__name__ == "UNet1d"
    config = load_config(file)
    config.system.decoder.name = "unet1d"
    with pytest.raises(V2SError, match="decoder.name is 'unet1d', but .*: take a variant of the config"):
        nnx.eval_shape(lambda: build(config.system, Rngs(0)))


@pytest.mark.parametrize("path", ["av2a_grid", "av2a_wavegan_grid"])
def test_a_base_is_a_word_behind_the_variant(path):
    config = load_config(f"{CONFIGS[0].parent / path}.py:dropout,pretrained,base")
    system = nnx.eval_shape(lambda: build(shrink(config, Path("data")).system, Rngs(0)))
    params = split_system(system)[1]
    config = load_config(f"{CONFIGS[0].parent / path}.py:dropout,pretrained,base")
    config.train.stage = config.train.stages[0] if config.train.stages else ""
    assert config.system.base == "v2a" and left_random(params, system.stages(), config.train) == []


def test_what_a_config_freezes_does_not_train():
    path = CONFIGS[0].parent / "avhubert_pretrain_talker.py"
    trained = []
    for frozen in ("encoder/frontend/.*", ""):
        small = shrink(load_config(path), path)
        small.train.frozen = frozen
        trained.append(set(abstract_system(small)[1][0].actions))
    assert trained[0] < trained[1]
    assert all(path.startswith("encoder/frontend/") for path in trained[1] - trained[0])


def test_a_variant_that_there_is_not_is_refused():
    with pytest.raises(V2SError, match="ValueError: there is no procedure 'all': expected one of audio, video"):
        load_config(f"{CONFIGS[0].parent / 'av2a_talker.py'}:all")
    with pytest.raises(V2SError, match="'both,trained' is no variant"):
        load_config(f"{CONFIGS[0].parent / 'av2a_lrw.py'}:both,trained")


PLAIN = {  # what asks nothing of a system, by setting
    "precision.compute": "float32",
    **{f"system.{inner}ctc_weight": 0.0 for inner in ("", "v2a.", "v2a.v2a.")},
    **{f"system.{inner}envelope_weight": 0.0 for inner in ("", "v2a.")},
    **{f"system.{inner}tempo": (1.0, 1.0) for inner in ("", "v2a.")},
}


def different() -> list[tuple[Path, dict]]:
    """One config of those that are the same once they are shrunk, as of two corpora, but for what `PLAIN` names.

    With it come the settings by which it asks all that any of them does.
    """
    found: dict[str, tuple[Path, dict]] = {}
    for path in CONFIGS:
        small = shrink(load_config(path), Path("data"))
        flat = flatten(small.to_dict())
        asked = {name: flat[name] for name, plain in PLAIN.items() if name in flat and flat[name] != plain}
        small.update_from_flattened_dict({name: plain for name, plain in PLAIN.items() if name in flat})
        found.setdefault(small.to_json(), (path, {}))[1].update(asked)
    return sorted(found.values(), key=lambda entry: entry[0])


def flatten(settings: dict, above: str = "") -> dict:
    """Dotted names to values."""
    flat = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
    return flat


@pytest.mark.slow
@pytest.mark.parametrize("path, asked", [pytest.param(*entry, id=entry[0].stem) for entry in different()])
def test_every_config_trains_two_steps(path, asked, talker_drafts, tmp_path):
    config = shrink(load_config(path), talker_drafts)
    config.update_from_flattened_dict(asked)
    assert train(config, tmp_path) == 0
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {entry["step"] for entry in entries if any(name.startswith("loss") for name in entry)} == {1, 2}
    assert any(config.train.best in entry for entry in entries)
    assert all(entry["device_wait"] > 0 and entry["data_wait"] > 0 for entry in entries if "host" in entry)
    known = read_weights(tmp_path)[0].get("synthesis", ConfigDict()).get("levels", ())
    assert len(known) == (4 if speaks(nnx.eval_shape(lambda: build(config.system, Rngs(0)))) else 0)
    assert {path.name for path in tmp_path.iterdir() if (path / "checkpoints").is_dir()} == set(
        config.train.stages[:-1]
    )
