import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests import small_av2a, small_diffv2s, small_faces2voices
from tests.small_model import save_small
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.evaluation import ablate
from v2s_jax.evaluation.variants import Variant, load_variants
from v2s_jax.models.folder import flat_weights
from v2s_jax.synthesis.pretrained import load_pretrained
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.systems.pretrained import change_settings

EXAMPLES = sorted((Path(__file__).parents[2] / "configs" / "ablations").glob("*.py"))
VARIANTS = [
    {"name": "plain", "series": ["contrast", "drop"], "x": 1},
    {"name": "sharp", "contrast": 1.5, "series": "contrast", "x": 10},
    {"name": "worse", "degrade": "blur=4+drop=0.5", "series": "drop", "x": 2},
]


@pytest.fixture(scope="module")
def svts(tmp_path_factory):
    """The folder of a tiny model that does not sample."""
    folder = tmp_path_factory.mktemp("ablate") / "svts"
    save_small(folder)
    return folder


@pytest.fixture(scope="module")
def diffv2s(tmp_path_factory):
    """The folder of a tiny model that does."""
    folder = tmp_path_factory.mktemp("ablate") / "diffv2s"
    small_diffv2s.save_small(
        folder,
        system=small_diffv2s.small_config(drop=0.1, sampler={"most": 1000}),
        synthesis={"vocoder": "griffin_lim"},
    )
    return folder


@pytest.fixture(scope="module")
def faces2voices(tmp_path_factory):
    """The folder of another one that samples."""
    folder = tmp_path_factory.mktemp("ablate") / "faces2voices"
    sections = {
        "system": small_faces2voices.small_config(sampler={"most": 64}),
        "synthesis": {"vocoder": "griffin_lim"},
    }
    small_diffv2s.save_small(folder, **sections)
    return folder


@pytest.fixture(scope="module")
def av2a(tmp_path_factory):
    """The folder of one that refines."""
    folder = tmp_path_factory.mktemp("ablate") / "av2a"
    small_diffv2s.save_small(folder, system=small_av2a.small_config(), synthesis={"vocoder": "griffin_lim"})
    return folder


@pytest.fixture(scope="module")
def enhancer(tmp_path_factory):
    """The folder of one that refines spoiled sound."""
    folder = tmp_path_factory.mktemp("ablate") / "enhancer"
    section = small_av2a.small_config("dropout", draft_source="spoiled", base="none")
    small_diffv2s.save_small(folder, system=section, synthesis={"vocoder": "griffin_lim"})
    return folder


@pytest.fixture
def run(tmp_path, talker_data):
    """Runs the command on two clips with what `get_variants` is to return."""

    def run(variants, model, *options):
        file = tmp_path / "variants.py"
        file.write_text(f"from math import inf, nan\n\ndef get_variants():\n    return {variants!r}\n")
        parser = argparse.ArgumentParser()
        ablate.add_arguments(parser)
        words = [file, "--data", talker_data, "--split", "train", "--out", tmp_path / "out", "--limit", 2]
        words += ["--metrics", "stoi", "--jobs", 1, *(["--model", model] if model else []), *options]
        return ablate.run(parser.parse_args([str(word) for word in words]))

    return run


def results(tmp_path):
    return json.loads((tmp_path / "out" / "ablation.json").read_text())


def evaluation(tmp_path, name):
    return json.loads((tmp_path / "out" / name / "evaluation.json").read_text())


@pytest.mark.slow
def test_variants_become_a_table_that_is_not_made_twice(run, svts, tmp_path, capsys, monkeypatch):
    assert run(VARIANTS, svts) == 0
    printed = capsys.readouterr()
    assert "variant 2/3, sharp: spoken and scored in" in printed.err
    table = (tmp_path / "out" / "table.md").read_text()
    assert table in printed.out
    scores, differences = table.split("\n\n")
    assert "less plain, clip by clip" in differences and "| sharp" in differences and "| plain" not in differences
    head, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in scores.splitlines()]
    assert head == ["", "STOI ↑", "Network (s/s) ↓"]
    assert [line[0] for line in lines] == ["plain", "sharp", "worse", "real recording"]
    assert lines[-1][1:] == ["-", "-"]
    made = results(tmp_path)
    for line, variant in zip(lines, made["variants"], strict=False):
        scored = evaluation(tmp_path, variant["name"])
        assert variant["means"]["stoi"] == scored["means"]["generated"]["stoi"]
        assert line[1] == f"{variant['means']['stoi']['mean']:.3f}" and line[2] == f"{variant['network']:.3f}"
        assert variant["clips"] == len(scored["clips"]) == 2 and variant["network"] > 0
        assert len(list((tmp_path / "out" / variant["name"] / "generated").rglob("*.wav"))) == 2
    means = [variant["means"]["stoi"]["mean"] for variant in made["variants"]]
    assert len(set(means)) == 3  # each setting was heard
    assert made["variants"][2]["settings"] == {"model": str(svts), "degrade": "blur=4+drop=0.5"}
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")

    spoken = []
    speak = Synthesizer.synthesize_record

    def count(self, record):
        spoken.append(record.id)
        return speak(self, record)

    monkeypatch.setattr(Synthesizer, "synthesize_record", count)
    assert run(VARIANTS, svts) == 0 and spoken == []
    assert "variant 3/3, worse: done before" in capsys.readouterr().err
    assert results(tmp_path) == made
    changed = [VARIANTS[0] | {"x": 3}, VARIANTS[1] | {"contrast": 0.5}, VARIANTS[2]]
    assert run(changed, svts) == 0 and len(spoken) == 2  # the one whose speech is another
    again = results(tmp_path)["variants"]
    assert again[1]["means"] != made["variants"][1]["means"] and again[2] == made["variants"][2]

    def refuse(*args):
        raise V2SError("anew")

    monkeypatch.setattr(ablate, "speak_split", refuse)
    for options in (["--limit", 1], ["--metrics", "stoi,mcd"], ["--grammar", "free"]):
        with pytest.raises(V2SError, match="the first: anew"):
            run(changed[:1], svts, *options)


def test_one_variant_that_fails_does_not_stop_the_others(run, svts, tmp_path, capsys, monkeypatch):
    speak = Synthesizer.synthesize_record

    def fail_if_sharp(self, record):
        if self.settings.contrast > 1:
            raise BadClip(f"{record.id}: not finite")
        return speak(self, record)

    monkeypatch.setattr(Synthesizer, "synthesize_record", fail_if_sharp)
    variants = [{"name": "sharp", "contrast": 2.0}, {"name": "plain"}]
    assert run(variants, svts, "--limit", 1) == 3
    out = capsys.readouterr().out
    assert "not whole: sharp (no train example" in out and "not finite" in results(tmp_path)["failures"]["sharp"]
    assert not (tmp_path / "out" / "curves.png").exists()  # nothing is a point of a series
    assert results(tmp_path)["variants"][0]["means"] == {}
    with pytest.raises(V2SError, match="not one of 1 variants could be evaluated; the first: no train example"):
        run(variants[:1], svts, "--limit", 1)


def test_variants_that_sample_share_what_is_compiled(diffv2s, svts):
    system = {"sampler": {"solver": "ddim"}, "speaker": "none", "sampler.grid": "uniform"}
    variants = [
        Variant("one", str(diffv2s), sampler={"evaluations": 1.0}),
        Variant("two", str(diffv2s), sampler={"evaluations": 3.0}, contrast=2.0),
        Variant("ddim", str(diffv2s), system),
        Variant("other", str(svts)),
    ]
    ready = ablate.prepare(variants)
    assert [variant for variant, _ in ready] == variants
    one, two, ddim, other = (synthesizer for _, synthesizer in ready)
    assert one.network.knobs["evaluations"] == 1 and two.network.knobs["evaluations"] == 3
    assert ddim.network.knobs["evaluations"] == 2  # the config's own
    assert one.network._programs is two.network._programs is not ddim.network._programs
    assert (one.settings.contrast, two.settings.contrast) == (1.0, 2.0)
    assert other.config.system.name == "svts"
    assert one.vocoder is two.vocoder is ddim.vocoder
    assert len({synthesizer.fingerprint() for _, synthesizer in ready}) == 4
    assert ddim.config.system.sampler.solver == "ddim" and one.config.system.sampler.solver == "dpm_solver++"


def test_variants_share_the_vocoders_of_a_name(svts):
    named = [None, "spectral-small", "griffin_lim", "spectral-small"]
    ready = ablate.prepare([Variant(str(n), str(svts), vocoder=name) for n, name in enumerate(named)])
    own, first, plain, second = (synthesizer.vocoder for _, synthesizer in ready)
    assert first is second is not plain and own is plain  # the model's own is griffin_lim


def test_a_model_is_loaded_with_other_settings(diffv2s):
    settings = {"speaker": "none", "sampler": {"guided": [0.1, 0.5]}}
    config, system = change_settings(*load_pretrained(diffv2s), settings, diffv2s)
    assert config.system.speaker == "none" and system.config.speaker == "none"
    assert system.config.sampler.guided == (0.1, 0.5) and system.config.sampler.grid == "log_snr"
    own = flat_weights(load_pretrained(diffv2s)[1])
    for name, value in flat_weights(system).items():
        np.testing.assert_array_equal(value, own.pop(name))
    assert not own


@pytest.mark.parametrize(
    "variants, message",
    [
        ([], "must return a list of at least one dict"),
        (["plain"], "variant 1: is 'plain', expected a dict with a name"),
        ([{"contrast": 2.0}], "variant 1: expected a name that can be a folder's"),
        ([{"name": "../up"}], "expected a name that can be a folder's"),
        ([{"name": "table.md"}], "expected a name that can be a folder's"),
        ([{"name": "a"}, {"name": "a"}], r"variant 2 \(a\): there is another variant of this name"),
        ([{"name": "a", "colour": 1}], r"variant 1 \(a\): has no setting 'colour'; there are name, model"),
        ([{"name": "a", "contrast": "much"}], "contrast is 'much', expected a number"),
        ([{"name": "a", "contrast": True}], "contrast is 'True', expected a number"),
        ([{"name": "a", "contrast": -1}], "variant a: the model's config has synthesis.contrast = -1"),
        ([{"name": "a", "face": "nobody's"}], r"variant 1 \(a\): face is \"nobody's\", expected 'own' or 'other'"),
        ([{"name": "a", "data": 3}], "data is '3', expected the path of a data set"),
        ([{"name": "a", "data": "none/such"}], "none/such"),
        ([{"name": "a", "degrade": "fog=1"}], r"variant 1 \(a\): 'fog=1' is no way to degrade video"),
        ([{"name": "a", "sampler": {"evaluations": "few"}}], "sampler.evaluations is 'few', expected a number"),
        ([{"name": "a", "sampler": {"steps": 3}}], "variant a: this model's sampler has no 'steps': it knows eval"),
        ([{"name": "a", "system": {"sampler.solvr": "ddim"}}], "no setting system.sampler.solvr; did you mean sampler"),
        ([{"name": "a", "system": {"sampler.solver": "leap"}}], "no diffv2s system can be built .*solver is 'leap'"),
        ([{"name": "a", "system": {"speaker": 3}}], "with system.speaker = 3: not a config"),
        ([{"name": "a", "system": {"encoder.hidden": 32}}], "with system.encoder.hidden = 32: a model of another"),
        ([{"name": "a", "system": {"speaker": {1, 2}}}], "settings must be finite numbers, texts"),
        ([{"name": "a", "system": {"sampler.eta": float("nan")}}], "settings must be finite numbers"),
        ([{"name": "a", "sampler": {"guidance": float("inf")}}], "settings must be finite numbers"),
        ([{"name": "a", "series": "s", "x": float("nan")}], "settings must be finite numbers"),
        ([{"name": "a", "vocoder": "none/such"}], "variant a: The vocoder 'none/such' is neither griffin_lim nor"),
        ([{"name": "a", "model": "none/such"}], "variant a: none/such: there is no such model"),
        ([{"name": "a", "series": "s"}], "has one of series and x"),
        ([{"name": "a", "x": 3}], "has one of series and x"),
    ],
)
def test_misuse_is_one_sentence_before_any_work(variants, message, run, diffv2s, tmp_path):
    with pytest.raises(V2SError, match=message):
        run([{"name": "good"}, *variants] if "variant a:" in message else variants, diffv2s)
    assert not (tmp_path / "out").exists()


def test_files_data_and_options_that_are_not_there(run, svts, tmp_path):
    with pytest.raises(V2SError, match="names no model; give it one, or all of them by --model"):
        run([{"name": "a"}], None)
    with pytest.raises(V2SError, match="there is no metric called 'mos'"):
        run([{"name": "a"}], svts, "--metrics", "mos")
    with pytest.raises(V2SError, match="has no split 'test'"):
        run([{"name": "a"}], svts, "--split", "test")
    with pytest.raises(V2SError, match="The file of variants .*none.py does not exist: give one such as .*ablations/"):
        load_variants(tmp_path / "none.py", "m")
    (tmp_path / "broken.py").write_text("def get_variants():\n    return 1 / 0\n")
    with pytest.raises(V2SError, match="broken.py failed: ZeroDivisionError"):
        load_variants(tmp_path / "broken.py", "m")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_lists_variants(path, diffv2s, faces2voices, av2a, enhancer):
    models = {"faces2voices": faces2voices, "av2a": av2a, "av2a_enhancement": enhancer}
    own = models.get(path.stem) or models.get(path.stem.partition("_")[0], diffv2s)
    variants = [dataclasses.replace(variant, model=str(own)) for variant in load_variants(path, str(own))]
    assert len(variants) >= 3
    distinct = {json.dumps(variant.system): variant for variant in variants}
    assert len(ablate.prepare(list(distinct.values()))) == len(distinct)


@pytest.mark.slow
def test_a_variant_speaks_the_data_that_it_names(run, av2a, talker_drafts, tmp_path):
    given = {"system": {"base": "none"}, "data": str(talker_drafts)}
    variants = [
        {"name": "own", "sampler": {"rounds": 0}},
        {"name": "given", "sampler": {"rounds": 0}, **given},
        {"name": "refined", "sampler": {"rounds": 1}, **given},
    ]
    assert run(variants, av2a) == 0
    heard = {one["name"]: one["means"]["stoi"]["mean"] for one in results(tmp_path)["variants"]}
    assert heard["given"] > 0.8  # the recordings' own mels, which the other data set does not have
    assert heard["own"] < 0.5 and heard["refined"] < 0.5  # the model has learned nothing
    assert results(tmp_path)["variants"][1]["settings"]["data"] == str(talker_drafts)


def test_the_face_of_another_speaker_is_shown(talker_data, svts, monkeypatch):
    dataset, seen = ShardedDataset(talker_data, "train"), []
    synthesizer = Synthesizer.from_pretrained(svts)
    speak = synthesizer.synthesize_record
    monkeypatch.setattr(Synthesizer, "synthesize_record", lambda _, record: seen.append(record) or speak(record))
    voice = ablate.Voice(Variant("wrong", str(svts), face="other"), synthesizer, dataset)
    for index, speaker in enumerate(dataset.speakers):
        record = dataset.read(index)
        voice(record)
        place = ablate.stranger(dataset, record.id)
        assert dataset.speakers[place] != speaker
        np.testing.assert_array_equal(seen[-1].face, dataset.read(place).face)
        np.testing.assert_array_equal(seen[-1].expression, record.expression)
    dataset.speakers = ["t00"] * len(dataset)
    with pytest.raises(V2SError, match="needs a split of several speakers"):
        voice(dataset.read(0))


def test_there_are_examples():
    assert {"diffv2s_sampling", "diffv2s_guidance", "degraded_video"} <= {path.stem for path in EXAMPLES}
