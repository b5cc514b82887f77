import numpy as np
import pytest
import torch

from tests.interop.twins import randomize
from v2s_jax.errors import V2SError
from v2s_jax.interop import load_speaker_encoder
from v2s_jax.interop.speaker import read, to_original
from v2s_jax.interop.torch.speaker import SpeakerEncoder as Twin
from v2s_jax.models.folder import save_model

CONFIG = {"mels": 40, "layers": 2, "hidden": 6, "projection": 0, "dim": 5, "log": False}
MEL = np.random.default_rng(0).exponential(0.1, size=(3, 160, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def twin():
    return randomize(Twin(CONFIG))


@pytest.fixture(scope="module")
def expected(twin):
    with torch.inference_mode():
        return twin(torch.tensor(MEL)).numpy()


def save(folder, state, **others):
    path = folder / "pretrained.pt"
    torch.save({"step": 7, "model_state": state, "optimizer_state": {"lr": 1.0}} | others, path)
    return path


def test_a_published_file(twin, expected, tmp_path):
    model, info = load_speaker_encoder(save(tmp_path, twin.state_dict()))
    np.testing.assert_allclose(model(MEL), expected, atol=1e-5)
    assert {"hidden": 6, "layers": 2, "dim": 5, "log": False, "projection": 0}.items() <= model.config.to_dict().items()
    assert (info["source"], info["step"], info["left"]) == ("pretrained.pt", 7, ["optimizer_state"])
    assert "Apache-2.0" in info["licence"] and info["warnings"] == []
    wave = (0.1 * np.random.default_rng(1).normal(size=32000)).astype(np.float32)
    assert np.linalg.norm(model.embed_utterance(wave)) == pytest.approx(1, abs=1e-5)


def test_half_precision_and_bare_tensors(twin, expected, tmp_path):
    torch.save({key: value.half() for key, value in twin.state_dict().items()}, tmp_path / "bare.pt")
    model, info = load_speaker_encoder(tmp_path / "bare.pt")
    np.testing.assert_allclose(model(MEL), expected, atol=1e-3)
    assert "step" not in info and info["left"] == []


def test_there_and_back_to_the_bit(twin, tmp_path):
    config, weights, info = read(save(tmp_path, twin.state_dict()))
    back = to_original(config.to_dict(), weights, info)
    assert back.keys() == {"pretrained.pt"} and back["pretrained.pt"]["step"] == 7
    state = back["pretrained.pt"]["model_state"]
    assert state.keys() == twin.state_dict().keys()
    for name, value in twin.state_dict().items():
        np.testing.assert_array_equal(state[name], value.numpy(), err_msg=name)


def test_a_folder_says_the_same(twin, expected, tmp_path):
    model, info = load_speaker_encoder(save(tmp_path, twin.state_dict()))
    save_model(tmp_path / "folder", model.config, model.module, info, "")
    again, kept = load_speaker_encoder(tmp_path / "folder")
    np.testing.assert_allclose(again(MEL), expected, atol=1e-5)
    assert kept == info


def test_the_losss_scale_may_be_missing(twin, tmp_path):
    state = {key: value for key, value in twin.state_dict().items() if not key.startswith("similarity")}
    model, _ = load_speaker_encoder(save(tmp_path, state))
    assert (model.module.similarity.scale[0], model.module.similarity.bias[0]) == (10, -5)


def test_projections_are_read_off_the_tensors(tmp_path):
    twin = randomize(Twin(CONFIG | {"projection": 4}))
    config, weights, _ = read(save(tmp_path, twin.state_dict()))
    assert config.projection == 4 and weights["lstm.1.project.kernel"].shape == (6, 4)


def test_another_mel_is_warned_of(tmp_path):
    _, _, info = read(save(tmp_path, randomize(Twin(CONFIG | {"mels": 80})).state_dict()))
    assert "80 mel bands" in info["warnings"][0]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"lstm.bias_ih_l1": None}, "missing lstm.bias_ih_l1"),
        ({"linear.bias": torch.zeros(4)}, r"linear.bias is \(4,\) instead of \(5,\)"),
        ({"extra": torch.zeros(1)}, "unused extra"),
        (
            {"linear.weight": None, "lstm.weight_ih_l1": None, "linear.bias": torch.zeros(()), "zzz": torch.zeros(1)},
            r"missing linear.weight; linear.bias is \(\) .*missing lstm.weight_ih_l1; unused zzz",
        ),
        ({"lstm.weight_ih_l0": None}, r"\(missing lstm.weight_ih_l0\)"),
        ({"lstm.weight_ih_l0": torch.zeros(())}, r"lstm.weight_ih_l0 is \(\) instead of"),
        ({3: torch.zeros(1)}, "one of its tensors has the key 3"),
    ],
)
def test_other_tensors_are_refused(twin, tmp_path, change, words):
    state = {key: value for key, value in (twin.state_dict() | change).items() if value is not None}
    with pytest.raises(V2SError, match=f"pretrained.pt: .*{words}"):
        read(save(tmp_path, state))


def test_the_prefix_of_data_parallel_is_no_matter(twin, tmp_path):
    state = twin.state_dict()
    wrapped = {f"module.{key}": value for key, value in state.items()}
    torch.save({"model_state": wrapped, 3: 1}, tmp_path / "wrapped.pt")
    _, weights, info = read(tmp_path / "wrapped.pt")
    np.testing.assert_array_equal(weights["linear.bias"], state["linear.bias"])
    assert info["left"] == ["3"]


def test_a_file_without_any_of_its_tensors_is_refused(tmp_path):
    with pytest.raises(V2SError, match=r"holds no GE2E speaker encoder \(no tensor lstm.weight_ih_l0\)"):
        read(save(tmp_path, {"linear.weight": torch.zeros(2, 2)}))


def test_a_list_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(V2SError, match="list.pt: holds no GE2E speaker encoder"):
        read(tmp_path / "list.pt")


def test_a_config_is_not_needed(tmp_path):
    with pytest.raises(V2SError, match="leave conf.json out"):
        load_speaker_encoder(tmp_path / "x.pt", "conf.json")


@pytest.mark.parametrize("setting", [{"log": True}, {"projection": 4}])
def test_what_the_original_code_lacks_is_not_written_for_it(setting):
    with pytest.raises(V2SError, match="cannot be written for Resemblyzer"):
        to_original(CONFIG | setting, {}, {})
