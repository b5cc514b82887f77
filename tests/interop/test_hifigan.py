import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from v2s_jax.errors import V2SError
from v2s_jax.interop.hifigan import load_hifigan, read, to_original
from v2s_jax.interop.torch import hifigan as twin
from v2s_jax.interop.torch import load as torch_load
from v2s_jax.models.fold import fold
from v2s_jax.models.folder import save_model

GOLDEN = Path(__file__).parent / "goldens" / "hifigan_tiny"
FILE = GOLDEN / "hifigan_tiny.pt"


@pytest.fixture(scope="module")
def golden():
    arrays = dict(np.load(GOLDEN / "io.npz"))
    return arrays | {"mel": jnp.asarray(arrays["mel"].transpose(0, 2, 1)), "audio": arrays["audio"][:, 0]}


@pytest.fixture(scope="module")
def model():
    return load_hifigan(FILE, GOLDEN / "hifigan_tiny.json")[0]


def save(folder, content, config=None):
    """A file with its config beside it."""
    torch.save(content, folder / "g_00000001")
    shutil.copy(config or GOLDEN / "hifigan_tiny.json", folder / "config.json")
    return folder / "g_00000001"


def tensors():
    return torch.load(FILE, weights_only=True)["generator"]


def test_every_array_of_the_reference(model, golden):
    wave, *stages = jax.jit(lambda mel: (model.module(mel), *parts(model.module, mel)))(golden["mel"])
    np.testing.assert_allclose(wave, golden["audio"], atol=1e-5)
    np.testing.assert_allclose(model(golden["mel"]), golden["audio"], atol=1e-5)
    names = ["stage_conv_pre", *(f"stage_up{number}" for number in range(4))]
    for name, stage in zip(names, stages, strict=True):
        np.testing.assert_allclose(stage.transpose(0, 2, 1), golden[name], atol=1e-5, err_msg=name)


def parts(generator, mel):
    """What the first convolution and each transposed one give."""
    stages = [x for x, _ in generator.stages(mel)]
    ups = zip(generator.ups, stages, strict=False)
    return [stages[0], *(up(jax.nn.leaky_relu(x, 0.1)) for up, x in ups)]


def test_folded_it_says_the_same(model, golden):
    folded = fold(model.module)
    np.testing.assert_allclose(jax.jit(folded)(golden["mel"]), golden["audio"], atol=1e-5)
    assert not hasattr(folded.conv_pre, "weight_g")


def test_a_folder_of_ours_runs_here_and_in_pytorch(model, golden, tmp_path):
    save_model(tmp_path / "g", model.config, model.module, {"source": "g.pt"}, "")
    again, info = load_hifigan(tmp_path / "g")
    np.testing.assert_allclose(again(golden["mel"]), golden["audio"], atol=1e-5)
    assert info == {"source": "g.pt"}
    with torch.inference_mode():
        wave = torch_load(tmp_path / "g")(torch.tensor(np.asarray(golden["mel"])).transpose(1, 2))
    np.testing.assert_allclose(wave[:, 0], golden["audio"], atol=1e-5)


def test_there_and_back_to_the_bit():
    config, weights, info = read(FILE)  # finds the JSON file of the same name
    back = to_original(config.to_dict(), weights, info)
    assert back["generator.pt"].keys() == {"generator"}
    state = back["generator.pt"]["generator"]
    assert state.keys() == tensors().keys()
    for name, value in tensors().items():
        np.testing.assert_array_equal(state[name], value)
    said = json.loads((GOLDEN / "hifigan_tiny.json").read_text())
    assert json.loads(json.dumps(back["config.json"])) == said
    assert info["left"] == [] and info["warnings"] == [] and info["audio"]["hop_size"] == 160
    # Without the original's config, as from a training of ours, it still has all that the original's code looks up.
    assert to_original(config.to_dict(), weights, {})["config.json"].keys() >= said.keys() - {"num_freq"}


def test_newer_spellings_folded_weights_and_prefixes(tmp_path, golden):
    new = {
        k.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): v
        for k, v in tensors().items()
    }
    generator = twin.Generator(json.loads((GOLDEN / "hifigan_tiny.json").read_text()))
    generator.load_state_dict(tensors())
    folded = {name: value for name, value in tensors().items() if name.endswith("bias")}
    folded |= {f"{name}.weight": part.weight() for name, part in generator.named_modules() if hasattr(part, "weight")}
    wrapped = {f"module.generator.{name}": value for name, value in tensors().items()} | {
        "module.mpd.x": torch.zeros(1)
    }
    for content in ({"generator": new}, folded, {"state_dict": wrapped, "epoch": 3}):
        loaded, info = load_hifigan(save(tmp_path, content))
        np.testing.assert_allclose(loaded(golden["mel"]), golden["audio"], atol=1e-5)
    assert info["left"] == ["epoch", "module.mpd.x"]


def test_what_does_not_fit_is_listed_at_once(tmp_path):
    state = tensors()
    del state["ups.1.bias"]
    state["extra"] = torch.zeros(1)
    state["conv_post.bias"] = torch.zeros(2)
    with pytest.raises(V2SError, match=r"missing ups.1.bias(.|\n)*conv_post.bias is \(2,\)(.|\n)*unused extra"):
        load_hifigan(save(tmp_path, {"generator": state}))


def test_files_that_hold_no_generator(tmp_path):
    with pytest.raises(V2SError, match="holds critics: name the generator's file"):
        load_hifigan(save(tmp_path, {"mpd": {"a": torch.zeros(1)}, "msd": {}}))
    with pytest.raises(V2SError, match="no tensor conv_pre.bias"):
        load_hifigan(save(tmp_path, {"a": torch.zeros(1)}))
    path = save(tmp_path, {"generator": tensors()})
    (tmp_path / "config.json").write_text('{"resblock": "1"}')
    with pytest.raises(V2SError, match="config.json: no config of a HiFi-GAN generator; it lacks upsample_rates"):
        load_hifigan(path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(V2SError, match="no config.json beside it"):
        load_hifigan(path)
    path.unlink()
    with pytest.raises(V2SError, match="no generator in this folder"):
        load_hifigan(tmp_path)


def test_a_folder_of_the_originals_has_its_newest_read(tmp_path):
    save(tmp_path, {"generator": tensors() | {"conv_post.bias": torch.ones(1)}})
    shutil.copy(FILE, tmp_path / "g_00000002")
    _, weights, info = read(tmp_path)
    assert info["source"] == "g_00000002"
    np.testing.assert_array_equal(weights["conv_post.bias"], tensors()["conv_post.bias"])


def test_another_mel_is_warned_of():
    original = json.loads((GOLDEN / "hifigan_tiny.json").read_text())
    info = read(FILE, original | {"n_fft": 1024, "hop_size": 256, "fmin": 20})[2]
    leftover, other = info["warnings"]
    assert "hop_size 256 while its upsample_rates give 160" in leftover
    assert "n_fft 1024 instead of 640" in other and "fmin 20 instead of 0" in other


@pytest.mark.parametrize("kind", [1, "1"])
def test_the_kind_of_block_may_be_a_number(kind, tmp_path):
    said = json.loads((GOLDEN / "hifigan_tiny.json").read_text()) | {"resblock": kind}
    (tmp_path / "c.json").write_text(json.dumps(said))
    config, _, info = read(FILE, tmp_path / "c.json")
    assert config == read(FILE)[0] and info["original_config"]["resblock"] == kind


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("upsample_rates", "5", "model.upsample_rates is '5'"),
        ("upsample_rates", None, "it lacks upsample_rates"),
        ("upsample_rates", {"a.b": 1}, "model.upsample_rates is '{}'"),
        ("upsample_rates", [0, 4, 4, 2], "do not fit upsample_rates"),
        ("upsample_initial_channel", "32", "model.upsample_initial_channel is '32'"),
        ("resblock_dilation_sizes", [1, 2, 3], r"model.resblock_dilation_sizes\[0\] is '1'"),
        ("resblock", [1], "resblock is"),
    ],
)
def test_settings_of_another_kind_are_named(name, value, words):
    said = json.loads((GOLDEN / "hifigan_tiny.json").read_text()) | {name: value}
    with pytest.raises(V2SError, match=words):
        read(FILE, said)


def test_the_first_tensors_may_be_what_is_wrong(tmp_path):
    state = tensors()
    del state["conv_pre.bias"], state["conv_pre.weight_v"]
    state["ups.0.bias"] = torch.zeros(())
    wrapped = {f"module.{key}": value for key, value in (state | {"extra": torch.zeros(1)}).items()}
    words = r"missing conv_pre.bias; missing conv_pre.weight_v; ups.0.bias is \(\).*unused extra"
    with pytest.raises(V2SError, match=words):
        read(save(tmp_path, {"generator": wrapped}))
    with pytest.raises(V2SError, match="one of its tensors has the key 3"):
        read(save(tmp_path, {"generator": state | {3: torch.zeros(1)}}))
    assert read(save(tmp_path, {"generator": tensors(), 3: 1, "epoch": 2}))[2]["left"] == ["3", "epoch"]


def test_settings_that_no_folder_can_hold_are_left(model, tmp_path):
    odd = {"a.b": 1, "__class__": 2, "deep": {"p.q": 3}, "many": {str(number): "x" * 200 for number in range(8000)}}
    said = json.loads((GOLDEN / "hifigan_tiny.json").read_text()) | odd | {"own": "kept"}
    info = read(FILE, said)[2]
    kept = info["original_config"]
    assert kept["own"] == "kept" and kept["deep"] == {} and not {"a.b", "__class__", "many"} & kept.keys()
    save_model(tmp_path / "g", model.config, model.module, info, "")
    assert load_hifigan(tmp_path / "g")[1]["original_config"]["own"] == "kept"
