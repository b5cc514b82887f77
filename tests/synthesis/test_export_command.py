import argparse
import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.small_model import small_config, small_weights
from v2s_jax.errors import V2SError
from v2s_jax.models.folder import read_model
from v2s_jax.synthesis import export_command
from v2s_jax.synthesis.pretrained import load_pretrained
from v2s_jax.systems import hifigan
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.training.checkpoint import Checkpoints, config_json, write_config


def export(*words):
    parser = argparse.ArgumentParser()
    export_command.add_arguments(parser)
    return export_command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A training workdir whose averaged weights differ from the last ones, in one of two checkpoints."""
    folder = tmp_path_factory.mktemp("workdir")
    config = small_config()
    config.train = {"best_is": "max", "steps": 7}
    params, stats = small_weights(config)
    ema = {"head": {"bias": params["head"]["bias"] + 1}}
    checkpoints = Checkpoints(folder, 2, "max")
    for step, metric in ((3, 0.9), (7, 0.1)):
        state = {"params": params, "stats": stats, "ema": ema, "step": jnp.array(step)}
        assert checkpoints.save(step, state, {}, config_json(config), metric) is None
        ema = {"head": {"bias": ema["head"]["bias"] + 1}}
    assert checkpoints.close() is None
    write_config(folder, config_json(config))
    return folder, params


def test_a_workdir_is_a_model(workdir):
    folder, params = workdir
    config, system = load_pretrained(folder)
    assert config.system.width == 16
    np.testing.assert_allclose(system.head.bias[...], params["head"]["bias"] + 1)


def test_export_of_a_workdir(workdir, tmp_path, capsys):
    folder, params = workdir
    assert export("--model", folder, "--out", tmp_path / "mine", "--dtype", "float16") == 0
    weights = load_file(tmp_path / "mine" / "model.safetensors")
    np.testing.assert_allclose(weights["head.bias"], params["head"]["bias"] + 1)
    assert weights["head.kernel"].dtype == np.float16
    assert json.loads((tmp_path / "mine" / "config.json").read_text())["data"]["path"] == "set"
    card = (tmp_path / "mine" / "README.md").read_text()
    for words in ("# mine", "| system | svts |", "| data set | set |", "| steps | 7 |", "--model mine"):
        assert words in card
    assert "mine: svts," in capsys.readouterr().out
    load_pretrained(tmp_path / "mine")


def test_a_card_is_kept_or_given(model, tmp_path):
    export("--model", model, "--out", tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text() == "# small\n"
    (tmp_path / "card.md").write_text("# Own words\n")
    export("--model", model, "--out", tmp_path / "carded", "--card", tmp_path / "card.md")
    assert (tmp_path / "carded" / "README.md").read_text() == "# Own words\n"
    with pytest.raises(V2SError, match="nothing.md: not readable as a model card"):
        export("--model", model, "--out", tmp_path / "other", "--card", tmp_path / "nothing.md")


def test_a_folder_with_files_is_refused(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(V2SError, match="not empty"):
        export("--model", model, "--out", tmp_path)


def test_a_part_of_a_system_on_its_own(tmp_path):
    config = small_vocoder()
    config.data.path = "/private/set,/private/other,/private/other"  # which counts twice
    save_pretrained(tmp_path / "trained", config, *small_weights(config), card="# A vocoder\n")
    assert export("--model", tmp_path / "trained", "--part", "generator", "--out", tmp_path / "part") == 0
    part, info, generator = read_model(tmp_path / "part")
    assert part == config.system.generator
    assert info["kind"] == "the generator of a hifigan trained with v2s_jax on set, other"
    _, whole = load_pretrained(tmp_path / "trained")
    np.testing.assert_array_equal(generator.conv_pre.bias[...], whole.generator.conv_pre.bias[...])
    card = (tmp_path / "part" / "README.md").read_text()
    assert card.startswith("# part\n") and "| hifigan |" in card
    assert export("--model", tmp_path / "part", "--out", tmp_path / "theirs", "--layout", "original") == 0
    assert "config.json" in os.listdir(tmp_path / "theirs")
    with pytest.raises(V2SError, match="has no part 'vocoder'; expected one of: generator"):
        export("--model", tmp_path / "trained", "--part", "vocoder", "--out", tmp_path / "x")
    with pytest.raises(V2SError, match="never published in another layout; name a part of it with --part: generator"):
        export("--model", tmp_path / "trained", "--layout", "original", "--out", tmp_path / "x")


def small_vocoder():
    config = small_config()
    config.system = hifigan.default_config("small")
    small = {"upsample_initial_channel": 32, "resblock_kernel_sizes": (3,), "resblock_dilation_sizes": ((1,),)}
    config.system.generator.update(small)
    config.system.critics.update({"periods": (2,), "scales": 1})
    return config


def test_a_system_without_parts(model, tmp_path):
    with pytest.raises(V2SError, match="svts has no part 'frontend'; expected one of: none"):
        export("--model", model, "--part", "frontend", "--out", tmp_path / "x")
    with pytest.raises(V2SError, match="svts as a whole was never published .* export it without --layout"):
        export("--model", model, "--layout", "original", "--out", tmp_path / "x")
