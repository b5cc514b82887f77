import shutil

import jax
import numpy as np
import pytest
from flax import nnx

from tests.small_vocoder import filled
from v2s_jax import cli
from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.features import kmeans
from v2s_jax.features.units import Codebook, load_codebook, mfcc_features, save_codebook
from v2s_jax.models import hubert
from v2s_jax.models.folder import save_model
from v2s_jax.models.rngs import Rngs
from v2s_jax.tokens import units
from v2s_jax.tokens.hubert_features import HubertFeatures

WHO = ("--speaker-encoder", "voices-ge2e", "--face-encoder", "dlib")  # which the fixture has as well


def run(data, out, *options):
    return cli.main(["prepare", "tokens", "--data", str(data), "--out", str(out), "--jobs", "2", *map(str, options)])


def save_hubert(folder, **settings):
    """A HuBERT of a few hundred parameters; the module."""
    config = hubert.default_config("tiny")
    config.update({"width": 8, "hidden": 8, "heads": 2, "conv_pos": 4, "conv_pos_groups": 2, **settings})
    config.convs = (
        tuple((4, taps, stride) for _, taps, stride in config.convs) if "convs" not in settings else config.convs
    )
    module = filled(lambda: hubert.HuBERT(config, rngs=Rngs(0)))
    save_model(folder, config, module, {}, "")
    return nnx.view(module, raise_if_not_found=False, deterministic=True)


def test_units_of_mfccs_with_a_codebook_fitted_on_the_data(talker_tokens):
    codebook = load_codebook(talker_tokens / "codebook.safetensors")
    dataset = ShardedDataset(talker_tokens, "train")
    assert codebook.centroids.shape == (7, 39) and len(dataset) == 6
    seen = set()
    for index in range(len(dataset)):
        record = dataset.read(index, {"audio", "units"})
        assert record.units.dtype == np.int16 and len(record.units) == 2 * record.n_frames
        np.testing.assert_array_equal(record.units, codebook(mfcc_features(record.audio)))
        seen |= set(record.units.tolist())
    assert seen == set(range(7))
    assert codebook.info["feature"] == "mfcc" and codebook.info["seed"] == 3
    assert codebook.info["frames"] == 2 * dataset.lengths.sum() and codebook.info["inertia"] > 0
    about = read_metadata(talker_tokens).recipe["tokens"]["units"]
    assert about == {"feature": "mfcc", "clusters": 7, "codebook": codebook.fingerprint}


def test_the_same_again_is_left_alone(talker_data, talker_tokens, capsys, monkeypatch):
    monkeypatch.setattr(kmeans, "fit", None)  # not to be called
    assert run(talker_data, talker_tokens, "--units", "mfcc", "--clusters", 7, "--seed", 3, *WHO) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert run(talker_data, talker_tokens, "--units", "mfcc", "--clusters", 8) == 1
    assert "already a finished data set, without these units" in capsys.readouterr().err


def test_a_given_codebook_is_used_and_kept(talker_data, talker_tokens, tmp_path, monkeypatch):
    monkeypatch.setattr(kmeans, "fit", None)
    shutil.copy(talker_tokens / "codebook.safetensors", tmp_path / "mine.safetensors")
    out = tmp_path / "data"
    assert run(talker_data, out, "--units", "mfcc", "--codebook", tmp_path / "mine.safetensors", *WHO) == 0
    assert read_metadata(out).splits["train"].fingerprint == read_metadata(talker_tokens).splits["train"].fingerprint
    assert (out / "codebook.safetensors").read_bytes() == (tmp_path / "mine.safetensors").read_bytes()


def test_units_of_hubert(talker_data, tmp_path):
    module = save_hubert(tmp_path / "tiny")
    options = ("--units", "hubert", "--hubert", tmp_path / "tiny", "--layer", 1, "--clusters", 4)
    assert run(talker_data, tmp_path / "data", *options) == 0
    codebook = load_codebook(tmp_path / "data" / "codebook.safetensors")
    assert codebook.info["layer"] == 1 and codebook.info["hubert"] == "tiny" and len(codebook.info["weights"]) == 12
    record = ShardedDataset(tmp_path / "data", "train").read(0, {"audio", "units"})
    assert len(record.units) == 2 * record.n_frames
    rows = jax.jit(lambda wave: module(wave, layer=1))(np.pad(record.audio, (0, 80))[None])[0]
    np.testing.assert_array_equal(record.units, codebook(np.asarray(rows)))


@pytest.mark.parametrize("settings", [{}, {"conv_norm": "layer", "normalise": True, "norm_first": True}])
def test_rows_of_hubert_are_those_of_the_clip_alone(tmp_path, settings):
    module = save_hubert(tmp_path / "tiny", **settings)
    features = HubertFeatures(tmp_path / "tiny", 2)
    wave = np.random.default_rng(0).normal(0.05, 0.1, 7 * 640).astype(np.float32)
    heard = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7) if settings else wave
    expected = jax.jit(lambda wave: module(wave, layer=2))(np.pad(heard, (0, 80))[None])[0]
    found = features(wave)
    assert found.shape == (14, 8) and features.width == 8
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert features(np.tile(wave, 40)).shape == (2 * 280, 8)  # a long clip


def test_mistakes_are_sentences(talker_data, tmp_path, capsys):
    save_codebook(tmp_path / "mfcc.safetensors", Codebook(np.eye(3, 39, dtype=np.float32), {"feature": "mfcc"}))
    save_codebook(
        tmp_path / "layer.safetensors", Codebook(np.eye(3, 8, dtype=np.float32), {"feature": "hubert", "layer": 2})
    )
    np.save(tmp_path / "narrow.npy", np.eye(3, 5))
    save_hubert(tmp_path / "tiny")
    save_hubert(tmp_path / "slow", convs=((4, 10, 5), (4, 4, 2)))
    tiny = ("--hubert", tmp_path / "tiny")
    cases = [
        (("--codebook", tmp_path / "mfcc.safetensors"), "--codebook is for --units"),
        (("--layer", 3), "--hubert and --layer are for --units hubert"),
        (("--units", "mfcc", *tiny), "--hubert and --layer are for --units hubert"),
        (("--units", "hubert", *tiny), "needs --hubert MODEL and --layer N"),
        (("--units", "hubert", *tiny, "--layer", 3), "has the layers 1 to 2, but --layer is 3"),
        (("--units", "hubert", "--hubert", tmp_path / "slow", "--layer", 1), "does not give a row every 20 ms"),
        (("--units", "mfcc", "--codebook", tmp_path / "km.bin"), "run code when they are read"),
        (("--units", "mfcc", "--codebook", tmp_path / "narrow.npy"), "have 5 numbers, but those features have 39"),
        (("--units", "mfcc", "--codebook", tmp_path / "layer.safetensors"), "are of the feature 'hubert', but 'mfcc'"),
        (
            ("--units", "hubert", *tiny, "--layer", 1, "--codebook", tmp_path / "layer.safetensors"),
            "are of the layer 2, but 1 was asked for",
        ),
        (("--units", "mfcc", "--clusters", 0), "--clusters is 0: expected 1 to 32768"),
        (("--units", "mfcc", "--clusters", 30000), "frames cannot make 30000 clusters"),
    ]
    for options, sentence in cases:
        assert run(talker_data, tmp_path / "data", *options) == 1
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "data").exists()


def test_the_layer_may_come_from_the_codebook(talker_data, tmp_path):
    save_hubert(tmp_path / "tiny")
    centroids = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    save_codebook(tmp_path / "book.safetensors", Codebook(centroids, {"feature": "hubert", "layer": 2}))
    options = ("--units", "hubert", "--hubert", tmp_path / "tiny", "--codebook", tmp_path / "book.safetensors")
    assert run(talker_data, tmp_path / "data", *options) == 0
    assert read_metadata(tmp_path / "data").recipe["tokens"]["units"]["layer"] == 2


def test_no_more_is_looked_at_than_asked_for(talker_data, tmp_path):
    features = units.Features(mfcc_features, 39, {"feature": "mfcc"})
    one, same, other = (
        units.fitted(features, talker_data, tmp_path / name, 3, seed, most=200)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert 200 <= one.info["frames"] < 500  # clips are whole
    np.testing.assert_array_equal(one.centroids, same.centroids)
    assert one.fingerprint != other.fingerprint
