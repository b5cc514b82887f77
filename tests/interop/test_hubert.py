import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from ml_collections import ConfigDict
from safetensors.numpy import load_file, save_file

from v2s_jax.errors import V2SError
from v2s_jax.interop.conv_text import parse_convs
from v2s_jax.interop.hubert import load_hubert, read, to_original
from v2s_jax.interop.load import assemble
from v2s_jax.interop.torch import load as torch_load
from v2s_jax.models.folder import flat_weights, save_model
from v2s_jax.models.hubert import CONVS, HuBERT, default_config
from v2s_jax.models.rngs import Rngs

GOLDEN = Path(__file__).parent / "goldens" / "hubert_tiny"
CONFIG = json.loads((GOLDEN / "config.json").read_text())


@pytest.fixture(scope="module")
def arrays():
    return dict(np.load(GOLDEN / "io.npz"))


def write(folder, state=None, name="model.safetensors", **settings):
    """A folder as `transformers` writes it, the golden one but for what is given."""
    config = {key: value for key, value in (CONFIG | settings).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state or load_file(GOLDEN / "model.safetensors"), folder / name)
    return folder


@pytest.mark.parametrize("path", [GOLDEN, GOLDEN / "pytorch_model.bin"], ids=lambda path: path.name)
def test_every_array_of_the_reference(path, arrays):
    model, info = load_hubert(path)
    wave, padding = arrays["wav"], np.arange(6400)[None] >= arrays["lengths"][:, None]
    np.testing.assert_allclose(model(waveform=wave[:1]), arrays["out"], atol=1e-5)
    for layer in (1, 2, 3):
        np.testing.assert_allclose(model(waveform=wave[:1], layer=layer), arrays[f"hidden{layer}"], atol=1e-5)
    np.testing.assert_allclose(model.states(jnp.asarray(wave[:1]))[0], arrays["hidden0"], atol=1e-5)
    found = np.asarray(model(waveform=wave, padding_mask=padding))
    for row, frames in enumerate(arrays["feat_lengths"]):
        np.testing.assert_allclose(found[row, :frames], arrays["out_masked"][row, :frames], atol=1e-5)
    np.testing.assert_array_equal((~model.frame_padding(jnp.asarray(padding))).sum(1), arrays["feat_lengths"])
    assert (info["kind"], info["layout"], info["left"]) == ("hubert", "transformers", [])


def test_the_convolutions_of_the_reference(arrays):
    model, _ = load_hubert(GOLDEN)
    x = jnp.asarray(arrays["wav"][:1])[..., None]
    for conv in model.convs:
        x = conv(x, None)
    np.testing.assert_allclose(x.transpose(0, 2, 1), arrays["features"], atol=1e-5)


def test_models_with_heads_are_read_by_their_prefix(tmp_path):
    state = load_file(GOLDEN / "model.safetensors")
    old = {"original0": "weight_g", "original1": "weight_v"}
    ctc = {}
    for key, value in state.items():
        stem, _, last = key.rpartition(".")
        ctc["hubert." + (f"{stem.removesuffix('.parametrizations.weight')}.{old[last]}" if last in old else key)] = (
            value
        )
    ctc["lm_head.weight"] = np.zeros((3, 32), np.float32)
    config, weights, info = read(write(tmp_path, ctc, architectures=["HubertForCTC"]))
    assert info["left"] == ["lm_head.weight"]
    whole = read(GOLDEN)
    assert config == whole[0]
    for name, value in whole[1].items():
        np.testing.assert_array_equal(weights[name], value)


def test_wav2vec2_is_read_alike(tmp_path):
    state = {f"wav2vec2.{key}": value for key, value in load_file(GOLDEN / "model.safetensors").items()}
    state["wav2vec2.masked_spec_embed"] = np.arange(32, dtype=np.float32)
    state["quantizer.codevectors"] = np.zeros((1, 2, 3), np.float32)
    config, weights, info = read(write(tmp_path, state, model_type="wav2vec2"))
    assert config.mask_emb and info["left"] == ["quantizer.codevectors"]
    files = to_original(config.to_dict(), weights, info)
    assert files["config.json"]["model_type"] == "wav2vec2" and files["config.json"]["mask_time_prob"] > 0
    np.testing.assert_array_equal(files["model.safetensors"]["masked_spec_embed"], np.arange(32))


def test_whether_waveforms_are_normalised_is_said_beside_or_guessed(tmp_path):
    assert not read(write(tmp_path))[0].normalise
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    assert read(tmp_path)[0].normalise


def test_export_gives_the_original_back_to_the_bit():
    config, weights, info = read(GOLDEN)
    files = to_original(config.to_dict(), weights, info)
    assert files.keys() == {"model.safetensors", "config.json", "preprocessor_config.json"}
    state = load_file(GOLDEN / "model.safetensors")
    assert files["model.safetensors"].keys() == state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(files["model.safetensors"][key], value)
    written = files["config.json"]
    assert {key: written[key] for key in CONFIG if key != "activation_dropout"} == {
        key: CONFIG[key] for key in CONFIG if key != "activation_dropout"
    }


def test_pytorch_says_the_same_of_an_imported_folder(tmp_path, arrays):
    model, info = load_hubert(GOLDEN)
    save_model(tmp_path / "ours", model.config, model.module, info, "# A card")
    twin, wave = torch_load(tmp_path / "ours"), torch.tensor(arrays["wav"])
    padding = torch.arange(6400)[None] >= torch.tensor(arrays["lengths"])[:, None]
    with torch.inference_mode():
        np.testing.assert_allclose(twin(wave[:1]), arrays["out"], atol=1e-5)
        found = twin(wave, padding)
    np.testing.assert_allclose(found[1, :14], arrays["out_masked"][1, :14], atol=1e-5)
    again, kept = load_hubert(tmp_path / "ours")
    assert kept == info and again.config == model.config


FAIRSEQ = {
    "base": dict(convs=((8, 10, 5), (8, 3, 2)), num_classes=5, final_proj=True, final_dim=6, mask_emb=True),
    "large": dict(
        convs=((24, 10, 5), (24, 3, 2)), conv_norm="layer", conv_bias=True, norm_first=True, normalise=True,
        feature_proj=False, dropout_input=0.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", FAIRSEQ)
@pytest.mark.parametrize("prefix", ["", "w2v_encoder.w2v_model."])
def test_fairseq_files_there_and_back(tmp_path, size, prefix):
    small = dict(layers=2, width=24, hidden=32, heads=3, conv_pos=8, conv_pos_groups=4)
    config = ConfigDict(default_config().to_dict() | small | FAIRSEQ[size])
    weights = {name: np.asarray(value) for name, value in flat_weights(HuBERT(config, rngs=Rngs(0))).items()}
    content = to_original(config.to_dict(), weights, {"layout": "fairseq"})["checkpoint.pt"]
    state = {prefix + key: torch.tensor(value) for key, value in content["model"].items()}
    cfg, left = content["cfg"], []
    if prefix:
        cfg, left = {"model": {"_name": "hubert_ctc", "w2v_args": cfg}}, ["w2v_encoder.proj.weight"]
        state["w2v_encoder.proj.weight"] = torch.zeros(2, 24)
    torch.save({"cfg": cfg, "model": state}, tmp_path / "hubert.pt")
    found, again, info = read(tmp_path / "hubert.pt")
    assert found == config and info["left"] == left and info["layout"] == "fairseq"
    assert ("encoder.layers.1.fc1.weight" in content["model"]) and content["cfg"]["task"][
        "normalize"
    ] is config.normalise
    for name, value in weights.items():
        np.testing.assert_array_equal(again[name], value)
    assert assemble(found, again, info)[0](waveform=np.zeros((1, 100), np.float32)).shape == (1, 9, 24)


QUANTIZER = {
    "quantizer.vars": (1, 16, 8),
    "quantizer.weight_proj.weight": (16, 8),
    "input_quantizer.vars": (1, 4, 8),
    "project_q.weight": (6, 16),
    "project_inp.bias": (24,),
    "target_glu.0.weight": (12, 6),
}


def fairseq_file(path, described, left=(), **settings):
    """A small file of fairseq's with weights of ours, and those."""
    config = default_config().to_dict() | dict(layers=2, width=24, hidden=32, heads=3, conv_pos=8, conv_pos_groups=4)
    config = ConfigDict(config | FAIRSEQ["base"] | {"num_classes": 0} | settings)
    weights = {name: np.asarray(value) for name, value in flat_weights(HuBERT(config, rngs=Rngs(0))).items()}
    content = to_original(config.to_dict(), weights, {"layout": "fairseq"})["checkpoint.pt"]
    state = {key: torch.tensor(value) for key, value in content["model"].items()}
    state |= {key: torch.zeros(shape) for key, shape in dict(left).items()}
    cfg = {"model": {**content["cfg"]["model"], "_name": None, **described}}
    torch.save({"cfg": cfg, "model": state}, path)
    return config, weights


@pytest.mark.parametrize("described", [{"_name": "wav2vec2", "quantize_targets": True}, {"arch": "wav2vec2"}])
def test_wav2vec2_of_fairseq_is_read_without_its_quantizer(tmp_path, described):
    config, weights = fairseq_file(tmp_path / "w2v.pt", described, QUANTIZER, final_proj=False, final_dim=256)
    found, again, info = read(tmp_path / "w2v.pt")
    assert found == config and info["kind"] == "wav2vec2" and info["left"] == sorted(QUANTIZER)
    for name, value in weights.items():
        np.testing.assert_array_equal(again[name], value)


def test_wav2vec2_of_fairseq_goes_back_as_what_it_is(tmp_path):
    left = {key: shape for key, shape in QUANTIZER.items() if key.startswith(("quantizer", "project_q"))}
    config, weights = fairseq_file(tmp_path / "w2v.pt", {"_name": "wav2vec2", "quantize_targets": True}, left)
    found, again, info = read(tmp_path / "w2v.pt")
    assert found == config and info["left"] == sorted(left)
    content = to_original(found.to_dict(), again, info)["checkpoint.pt"]
    model, task = content["cfg"]["model"], content["cfg"]["task"]
    assert (model["_name"], task["_name"]) == ("wav2vec2", "audio_pretraining")
    assert not model["quantize_targets"]  # so that its code builds no quantizer, and project_q from the encoder's width
    assert content["model"]["project_q.weight"].shape == (6, 24)
    assert not any(key.startswith("quantizer.") for key in content["model"])


def test_quantised_input_is_refused(tmp_path):
    fairseq_file(tmp_path / "w2v.pt", {"_name": "wav2vec2", "quantize_input": True}, QUANTIZER)
    with pytest.raises(V2SError, match="quantize_input = 'True'; encoders of quantised input cannot be read"):
        read(tmp_path / "w2v.pt")


def test_tensors_of_other_models_and_without_names_are_told_apart(tmp_path):
    with pytest.raises(V2SError, match="holds no HuBERT encoder"):
        read(GOLDEN.parent / "avhubert_micro" / "checkpoint.pt")
    shutil.copy(GOLDEN / "config.json", tmp_path)
    torch.save({3: torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(V2SError, match="one of its tensors has the key 3"):
        read(tmp_path)


def test_lists_of_convolutions_are_parsed_and_not_run():
    assert parse_convs("[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2", "x.pt") == CONVS
    for text in ("__import__('os').listdir()", "[(1,2,3)] * 10**9", "[(1,2)]", "[1]", "[(1,2,'3')]", "(", "[()] * -1"):
        with pytest.raises(V2SError, match="x.pt: its config says conv_feature_layers"):
            parse_convs(text, "x.pt")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model_type": "whisper"}, "model_type is 'whisper'"),
        ({"hidden_act": "relu"}, "GELU"),
        ({"conv_pos_batch_norm": True}, "batch norm"),
        ({"layer_norm_eps": 1e-6}, "layer_norm_eps = '1e-06'"),
        ({"conv_dim": "16"}, "not lists of numbers"),
        ({"conv_dim": [16] * 6}, "different lengths"),
        ({"feat_extract_norm": "batch"}, "expected group or layer"),
        ({"num_hidden_layers": 2}, r"unused encoder\.layers\.2\.attention\.k_proj\.bias"),
        ({"hidden_size": None}, r"\(32, 32\) instead of \(768, 768\)"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, settings, words):
    with pytest.raises(V2SError, match=words):
        read(write(tmp_path, **settings))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(V2SError, match="holds no weights; expected model.safetensors"):
        read(tmp_path)
    shutil.copy(GOLDEN / "model.safetensors", tmp_path)
    with pytest.raises(V2SError, match="no config.json beside it"):
        read(tmp_path)
    assert read(tmp_path, GOLDEN / "config.json")[0].layers == 3
