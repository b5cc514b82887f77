import numpy as np
import pytest

from tests import small_diffv2s
from tests.small_av2a import small_config
from tests.small_model import save_small
from v2s_jax import cli
from v2s_jax.data.command import find_corpus
from v2s_jax.data.loader import Loader
from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError
from v2s_jax.synthesis.synthesizer import Synthesizer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drafting") / "small"
    save_small(folder)
    return folder


def command(data, out, model, *options):
    return ["prepare", "drafts", "--data", str(data), "--out", str(out), "--model", str(model), *options]


@pytest.fixture(scope="module")
def drafted(talker_data, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("drafted") / "data"
    assert cli.main(command(talker_data, out, model, "--jobs", "1")) == 0
    return out


def test_every_record_has_the_mel_that_the_model_speaks(drafted, model):
    dataset, synthesizer = ShardedDataset(drafted, "train"), Synthesizer.from_pretrained(model)
    for index in range(2):
        record = dataset.read(index)
        expected = synthesizer.synthesize_record(record).log_mel
        assert record.draft.shape == (4 * record.n_frames, 80) and record.draft.dtype == np.float16
        np.testing.assert_allclose(record.draft, expected, rtol=1e-3, atol=0.01)
    assert read_metadata(drafted).recipe["tokens"]["draft"] == {
        "model": "small",
        "fingerprint": synthesizer.fingerprint(),
        "sampler": {},
    }


def test_batches_hold_what_single_clips_do_and_a_second_run_has_nothing_to_do(
    drafted, talker_data, model, tmp_path, capsys
):
    assert cli.main(command(talker_data, tmp_path / "data", model, "--batch-size", "4")) == 0
    one, four = (ShardedDataset(folder, "train") for folder in (drafted, tmp_path / "data"))
    assert one.ids == four.ids
    for index in range(len(one)):
        pair = [dataset.read(index, {"draft"}).draft for dataset in (one, four)]
        np.testing.assert_allclose(*pair, rtol=2e-3, atol=0.02)
    assert cli.main(command(talker_data, drafted, model)) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_settings_of_the_sampler_are_kept(talker_data, tmp_path, capsys):
    small_diffv2s.save_small(tmp_path / "av2a", system=small_config(), synthesis={"vocoder": "griffin_lim"})
    options = ["--sampler", "rounds=2", "--seed", "3", "--jobs", "1"]
    assert cli.main(command(talker_data, tmp_path / "data", tmp_path / "av2a", *options)) == 0
    assert "draft in 6 of 6 records" in capsys.readouterr().out
    about = read_metadata(tmp_path / "data").recipe["tokens"]["draft"]
    assert about["model"] == "av2a" and about["sampler"] == {"rounds": 2}


def test_mistakes_are_sentences(talker_data, drafted, model, tmp_path, capsys):
    small_diffv2s.save_small(tmp_path / "refiner", system=small_config("both", base="none"))
    bad = [
        (command(talker_data, tmp_path / "data", tmp_path / "refiner"), "listens to drafts and makes none"),
        (command(talker_data, tmp_path / "data", "nobody"), "nobody: there is no such model"),
        (command(tmp_path, tmp_path / "data", model), "is not a prepared data set"),
        (command(talker_data, talker_data, model), "is the data set itself"),
        (command(talker_data, tmp_path / "data", model, "--sampler", "rounds=2"), "sampler has no 'rounds'"),
        (command(talker_data, tmp_path / "data", "voices-ge2e"), "system is expected"),
    ]
    for words, sentence in bad:
        assert cli.main(words) == 1
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    with pytest.raises(V2SError, match="have no draft; v2s-jax prepare drafts adds it"):
        Loader(talker_data, "train", fields={"mouth", "draft"})
    with pytest.raises(V2SError, match="there is no corpus called 'drafts'"):
        find_corpus("drafts")
