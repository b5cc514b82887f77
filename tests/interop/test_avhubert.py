import argparse
import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.interop.twins import every_layer
from v2s_jax.constants import MOUTH_MEAN, MOUTH_STD
from v2s_jax.errors import V2SError
from v2s_jax.interop.avhubert import load_avhubert, read, to_original
from v2s_jax.interop.torch import load as torch_load
from v2s_jax.models.folder import save_model

GOLDENS = Path(__file__).parent / "goldens"
MICRO, FINE_TUNED = GOLDENS / "avhubert_micro", GOLDENS / "avhubert_micro_seq2seq_fp16"
TOLERANCE = {MICRO: 1e-5, FINE_TUNED: 1e-3}


def golden(folder):
    """The reference's arrays, its inputs with our axes."""
    arrays = dict(np.load(folder / "io.npz"))
    turned = {name: np.moveaxis(arrays[name], 1, -1) for name in ("video", "pad_video", "audio", "pad_audio")}
    return arrays | turned


@pytest.fixture(scope="module")
def tensors():
    """The pre-trained file's tensors, and its config."""
    config, weights, _ = read(MICRO / "checkpoint.pt")
    original = to_original(config.to_dict(), weights, {"original_config": {}})["checkpoint.pt"]
    return {key: torch.tensor(value) for key, value in original["model"].items()}, original["cfg"]


def save(path, state, cfg, **others):
    torch.save({"args": None, "cfg": cfg, "model": state} | others, path)
    return path


@pytest.mark.parametrize("folder", [MICRO, FINE_TUNED], ids=lambda folder: folder.name)
def test_every_array_of_the_reference(folder):
    model, info = load_avhubert(folder / "checkpoint.pt")
    arrays, tolerance = golden(folder), TOLERANCE[folder]
    video, audio = arrays["video"], arrays["audio"]
    for name, inputs in (("v", dict(video=video)), ("a", dict(audio=audio)), ("av", dict(video=video, audio=audio))):
        found = every_layer(model.module, **inputs)
        for own, suffix in zip(found, ("_layer1", "_layer2", ""), strict=True):
            np.testing.assert_allclose(own, arrays[f"out_{name}{suffix}"], atol=tolerance)
    np.testing.assert_allclose(model(audio=audio), arrays["out_a"], atol=tolerance)
    np.testing.assert_allclose(model(audio=audio, layer=1), arrays["out_a_layer1"], atol=tolerance)
    padding = arrays["pad_mask"]
    both = dict(video=arrays["pad_video"], audio=arrays["pad_audio"])
    for name, inputs in (("pad_out_av", both), ("pad_out_v", dict(video=both["video"]))):
        found = every_layer(model.module, **inputs, padding_mask=padding)[-1]
        np.testing.assert_allclose(found[~padding], arrays[name][~padding], atol=tolerance)


@pytest.mark.parametrize("folder", [MICRO, FINE_TUNED], ids=lambda folder: folder.name)
def test_the_clips_settings_are_the_loaders(folder):
    info = read(folder / "checkpoint.pt")[2]
    settings, arrays = info["inputs"], golden(folder)
    assert (settings["image_mean"], settings["image_std"]) == (MOUTH_MEAN, MOUTH_STD)
    edge = (96 - settings["image_crop_size"]) // 2
    crop = arrays["frames_u8"][:, edge:-edge, edge:-edge] / 255
    np.testing.assert_allclose((crop - MOUTH_MEAN) / MOUTH_STD, arrays["video"][0, ..., 0], atol=1e-5)


def test_pretrained_and_fine_tuned_files_say_what_they_are():
    config, _, info = read(MICRO / "checkpoint.pt")
    assert (info["kind"], info["left"], info["source"]) == ("av_hubert", [], "checkpoint.pt")
    found = (config.resnet, config.masking, config.num_classes, config.final_proj)
    assert found == ((8, 12, 16, 24), "input", 20, True)
    assert "non-commercial" in info["licence"]
    config, weights, info = read(FINE_TUNED / "checkpoint.pt")
    assert (info["kind"], info["left"]) == ("av_hubert_seq2seq", ["decoder.embed_tokens.weight"])
    assert (config.layers, config.num_classes, config.final_proj) == (
        2,
        20,
        False,
    )  # `encoder_layers: 99` is not its own
    assert {value.dtype for value in weights.values()} == {np.dtype("float32")}


def test_the_encoder_inside_a_ctc_file_is_the_same(tensors, tmp_path):
    state, cfg = tensors
    wrapped = {f"w2v_encoder.w2v_model.{key}": value for key, value in state.items()}
    wrapped |= {"w2v_encoder.proj.weight": torch.zeros(3, 32), "w2v_encoder.proj.bias": torch.zeros(3)}
    model = {"_name": "av_hubert_ctc", "encoder_layers": 99, "w2v_args": cfg}
    path = save(tmp_path / "ctc.pt", wrapped, {"model": model, "task": {"image_crop_size": 80}})
    config, weights, info = read(path)
    whole = read(MICRO / "checkpoint.pt")
    assert config == whole[0]
    assert info["left"] == ["w2v_encoder.proj.bias", "w2v_encoder.proj.weight"]
    assert info["inputs"]["image_crop_size"] == 80 and info["inputs"]["stack_order_audio"] == 4
    for name, value in whole[1].items():
        np.testing.assert_array_equal(weights[name], value)


def test_what_the_config_does_not_say_is_read_off_the_tensors(tensors, tmp_path):
    state, cfg = tensors
    model = {"_name": "av_hubert", "layer_norm_first": True, "encoder_attention_heads": 4, "label_rate": "${task.rate}"}
    config, _, _ = read(
        save(tmp_path / "silent.pt", state, {"model": model | {"audio_feat_dim": -1, "unheard_of": [1]}})
    )
    wanted = read(MICRO / "checkpoint.pt")[0]
    for name in "layers width hidden conv_pos conv_pos_groups audio_dim fusion resnet masking".split():
        assert config[name] == wanted[name], name


def test_an_old_flat_namespace_will_do(tensors, tmp_path):
    state, cfg = tensors
    flat = argparse.Namespace(
        **cfg["model"], **{k: v for k, v in cfg["task"].items() if k != "_name"}, arch="av_hubert"
    )
    path = tmp_path / "old.pt"
    torch.save({"args": flat, "model": state}, path, _use_new_zipfile_serialization=False)
    config, _, info = read(path)
    assert config == read(MICRO / "checkpoint.pt")[0]
    assert info["inputs"]["image_std"] == 0.165


def test_half_precision_files_are_read_in_full(tensors, tmp_path):
    state, cfg = tensors
    halves = {key: value.to(torch.bfloat16) if value.is_floating_point() else value for key, value in state.items()}
    weights = read(save(tmp_path / "half.pt", halves, cfg))[1]
    expected = halves["final_proj.weight"].float().T
    np.testing.assert_array_equal(weights["final_proj.kernel"], expected)


def test_export_gives_the_original_back_to_the_bit(tmp_path):
    config, weights, info = read(MICRO / "checkpoint.pt")
    content = to_original(config.to_dict(), weights, info)["checkpoint.pt"]
    state = {key: torch.tensor(value) for key, value in content["model"].items()}
    again = read(save(tmp_path / "again.pt", state, content["cfg"], extra_state=content["extra_state"]))
    assert again[0] == config and again[2]["inputs"] == info["inputs"]
    for name, value in weights.items():
        np.testing.assert_array_equal(again[1][name], value)
    assert KEYS <= content["model"].keys()
    assert content["cfg"]["model"]["input_modality"] == "video,audio"  # settings of no use here are handed on


def test_what_the_originals_code_asks_for_is_there(tmp_path):
    """An encoder without head or mask embedding still goes into a file that its code loads without other files."""
    config, weights, info = read(FINE_TUNED / "checkpoint.pt")
    content = to_original(config.to_dict(), weights, info)["checkpoint.pt"]
    assert [len(labels) for labels in content["task_state"]["dictionaries"]] == [20]
    assert content["model"]["label_embs_concat"].shape == (20, 16)
    assert content["model"]["final_proj.weight"].shape == (16, 32) and not content["model"]["final_proj.weight"].any()
    assert content["cfg"]["task"]["labels"] == ["km"] and content["cfg"]["task"]["label_rate"] == 25
    bare = config.to_dict() | {"num_classes": 0, "masking": "none"}
    weights = {name: value for name, value in weights.items() if name not in ("label_embs", "mask_emb")}
    content = to_original(bare, weights, {})["checkpoint.pt"]
    assert content["task_state"]["dictionaries"] == [None]  # which its code takes for an encoder to be fine-tuned
    assert content["model"]["mask_emb"].shape == (104,) and "label_embs_concat" not in content["model"]


KEYS = {
    "label_embs_concat",
    "mask_emb",
    "feature_extractor_video.resnet.trunk.layer2.0.downsample.1.num_batches_tracked",
    "encoder.pos_conv.0.weight_g",
    "encoder.layers.1.self_attn.out_proj.bias",
}


def test_pytorch_says_the_same_of_an_imported_folder(tmp_path):
    model, info = load_avhubert(MICRO / "checkpoint.pt")
    save_model(tmp_path / "ours", model.config, model.module, info, "# A card")
    arrays = golden(MICRO)
    with torch.inference_mode():
        found = torch_load(tmp_path / "ours")(video=torch.tensor(arrays["video"]), audio=torch.tensor(arrays["audio"]))
    np.testing.assert_allclose(found, arrays["out_av"], atol=1e-5)
    again, kept = load_avhubert(tmp_path / "ours")
    assert kept == info
    np.testing.assert_allclose(again(audio=arrays["audio"]), arrays["out_a"], atol=1e-5)


RESNET, AUDIO = "feature_extractor_video.resnet", "feature_extractor_audio.proj"


def broken(state, cfg, what):
    state, cfg = dict(state), copy.deepcopy(cfg)
    what(state, cfg)
    return state, cfg


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda s, c: s.pop("layer_norm.bias"), "missing layer_norm.bias"),
        (lambda s, c: s.update(extra=torch.zeros(1)), "unused extra"),
        (lambda s, c: c["model"].update(encoder_layers=1), r"unused encoder\.layers\.1\.fc1\.bias"),
        (lambda s, c: c["model"].update(encoder_layers="two"), "encoder_layers = 'two'"),
        (lambda s, c: c["model"].update(sub_encoder_layers=2), "each modality"),
        (lambda s, c: c["model"].update(activation_fn="relu"), "GELU"),
        (lambda s, c: c["model"].update(modality_fuse="gate"), "'gate'"),
        (lambda s, c: c["model"].update(encoder_attention_heads=5), "no avhubert model can be built"),
        (lambda s, c: s.pop(f"{RESNET}.frontend3D.0.weight"), rf"\(missing {RESNET}.frontend3D.0.weight\)"),
        (lambda s, c: s.pop("encoder.layer_norm.weight"), r"\(missing encoder.layer_norm.weight\)"),
        (lambda s, c: s.pop("encoder.pos_conv.0.weight_v"), r"\(missing encoder.pos_conv.0.weight_v\)"),
        (lambda s, c: s.pop(f"{AUDIO}.weight"), rf"\(missing {AUDIO}.weight\)"),
        (lambda s, c: s.update({"encoder.pos_conv.0.weight_v": torch.zeros(3)}), r"weight_v is \(3,\) instead of"),
        (lambda s, c: s.update({f"{AUDIO}.weight": torch.zeros(32, 103)}), r"\(32, 103\) instead of \(32, 104\)"),
        (lambda s, c: s.update({3: torch.zeros(1)}), "one of its tensors has the key 3; expected names"),
        (lambda s, c: c["model"].update(encoder_attention_heads=None, layer_norm_first=None), "would be guessed"),
        (lambda s, c: c.update(model=None), "neither encoder_attention_heads nor layer_norm_first"),
        (lambda s, c: [s.pop(key) for key in list(s) if key.startswith("feature_")], "holds no AV-HuBERT encoder"),
    ],
)
def test_what_does_not_fit_is_named(tensors, tmp_path, what, words):
    with pytest.raises(V2SError, match=words):
        read(save(tmp_path / "broken.pt", *broken(*tensors, what)))


def test_all_that_does_not_fit_is_listed_also_where_sizes_are_measured(tensors, tmp_path):
    state, cfg = dict(tensors[0]), tensors[1]
    del state["layer_norm.bias"], state["encoder.layers.0.fc1.weight"]
    state |= {"encoder.layers.1.fc2.bias": torch.zeros(5), "post_extract_proj.weight": torch.zeros(2, 3)}
    with pytest.raises(V2SError) as error:
        read(save(tmp_path / "broken.pt", state | {"zzz": torch.zeros(2)}, cfg))
    assert str(error.value).partition("(")[2] == (
        "missing layer_norm.bias; post_extract_proj.weight is (2, 3) instead of (32, 64); "
        "missing encoder.layers.0.fc1.weight; encoder.layers.1.fc2.bias is (5,) instead of (32,); unused zzz)"
    )


MEASURED = [
    *("encoder.layer_norm.weight", "encoder.layers.0.fc1.weight", "encoder.pos_conv.0.weight_v", f"{AUDIO}.weight"),
    *(f"{RESNET}.frontend3D.0.weight", f"{RESNET}.frontend3D.1.weight", f"{RESNET}.trunk.layer2.0.conv1.weight"),
]


@pytest.mark.parametrize("says", ["all", "little"])
@pytest.mark.parametrize("name", MEASURED)
def test_tensors_without_axes_are_listed(tensors, tmp_path, name, says):
    state, cfg = tensors
    own = {"layer_norm_first": True, "encoder_attention_heads": 4, "encoder_embed_dim": 32, "conv_pos_groups": 16}
    cfg = cfg if says == "all" else {"model": own}
    with pytest.raises(V2SError, match=rf"[(;] ?{name} is \(\) instead of"):
        read(save(tmp_path / "flat.pt", state | {name: torch.tensor(1.0)}, cfg))


@pytest.mark.parametrize("cfg", [[1], {"model": None}, {"model": {"_name": "av_hubert"}, "task": {}}])
@pytest.mark.parametrize("prefix", ["", "encoder.w2v_model."])
def test_a_config_that_says_nothing_is_refused(tensors, tmp_path, cfg, prefix):
    state = {prefix + key: value for key, value in tensors[0].items()}
    cfg = {"model": {"w2v_args": {"task": {}} if cfg == [1] else cfg}} if prefix else cfg
    with pytest.raises(V2SError, match="would be guessed; expected the whole config"):
        read(save(tmp_path / "mute.pt", state, cfg))


def test_decoders_and_prefixes_around_it_are_no_matter(tensors, tmp_path):
    state, cfg = tensors
    around = {
        f"module.{key}": value for key, value in (state | {"decoder.layers.0.fc1.weight": torch.zeros(2)}).items()
    }
    config, weights, info = read(save(tmp_path / "around.pt", around, cfg))
    whole = read(MICRO / "checkpoint.pt")
    assert config == whole[0] and info["left"] == ["decoder.layers.0.fc1.weight"]
    np.testing.assert_array_equal(weights["audio_proj.bias"], whole[1]["audio_proj.bias"])


def test_settings_that_no_folder_can_hold_are_left(tensors, tmp_path):
    state, cfg = tensors[0], copy.deepcopy(tensors[1])
    many = {str(number): "x" * 200 for number in range(8000)}
    cfg["model"] |= {"a.b": 3, "__class__": 3, "x": {"p.q": 1}, "many": many, "own": "kept"}
    model, info = load_avhubert(save(tmp_path / "odd.pt", state, cfg))
    save_model(tmp_path / "ours", model.config, model.module, info, "")
    kept = load_avhubert(tmp_path / "ours")[1]["original_config"]["model"]
    assert kept["own"] == "kept" and kept["x"] == {} and not {"a.b", "__class__", "many"} & kept.keys()


def test_other_files_are_told_apart(tensors, tmp_path):
    state, cfg = tensors
    torch.save({"model": state}, tmp_path / "bare.pt")
    with pytest.raises(V2SError, match="no fairseq checkpoint"):
        read(tmp_path / "bare.pt")
    wrapped = {f"encoder.w2v_model.{key}": value for key, value in state.items()}
    with pytest.raises(V2SError, match="no w2v_args"):
        read(save(tmp_path / "mute.pt", wrapped, {"model": {"_name": "av_hubert_seq2seq"}}))
    with pytest.raises(V2SError, match="leave x.json out"):
        read(MICRO / "checkpoint.pt", "x.json")


def test_heads_for_several_label_sets_are_left(tensors, tmp_path):
    state, cfg = tensors
    state = state | {"final_proj.weight": torch.zeros(32, 32), "final_proj.bias": torch.zeros(32)}
    config, _, info = read(save(tmp_path / "two.pt", state, cfg))
    assert not config.final_proj and not config.num_classes
    assert info["left"] == ["final_proj.bias", "final_proj.weight", "label_embs_concat"]


def test_a_file_without_mask_embedding_is_read(tensors, tmp_path):
    state = {key: value for key, value in tensors[0].items() if key != "mask_emb"}
    assert read(save(tmp_path / "bare.pt", state, tensors[1]))[0].masking == "none"
    state["mask_emb"] = torch.zeros(32)  # as wide as the encoder: of an earlier iteration
    assert read(save(tmp_path / "early.pt", state, tensors[1]))[0].masking == "feature"
