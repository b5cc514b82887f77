import argparse
import json
import shutil

import pytest

from v2s_jax.errors import V2SError
from v2s_jax.evaluation import command


def run(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(argument) for argument in arguments]))


def test_two_folders_to_a_table_json_and_report(folders, tmp_path, capsys):
    generated = shutil.copytree(folders[0], tmp_path / "generated")
    (generated / "broken.wav").write_text("no sound")
    shutil.copy(generated / "bbaf2n.wav", generated / "extra.wav")
    reference = shutil.copytree(folders[1], tmp_path / "grid")
    shutil.copy(reference / "s1" / "bbaf2n.wav", reference / "s1" / "broken.wav")
    out = tmp_path / "out"
    status = run(generated, "--reference", reference, "--out", out, "--metrics", "stoi,wer", "--jobs", 1, "--ceiling")
    assert status == 3  # some clips failed, the rest is done
    printed = capsys.readouterr().out
    assert "| WER (%) ↓" in printed and "Griffin-Lim of the true mel" in printed
    assert "not scored: broken" in printed and "not scored: extra" in printed
    data = json.loads((out / "evaluation.json").read_text())
    assert data["grammar"] == "grid" and set(data["failures"]) == {"broken", "extra"}
    stoi = [clip["values"]["generated"]["stoi"] for clip in data["clips"]]
    assert len(stoi) == 3 and stoi == sorted(stoi, reverse=True)  # each is noisier than the one before
    assert data["about"] == {"generated": str(generated), "recordings": str(reference)}
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.json", "report.html"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "needs either GENERATED_DIR --reference DIR, or --model"),
        (["made"], "needs --reference DIR as well"),
        (["--model", "m"], "needs --data DIR as well"),
        (["made", "--model", "m", "--reference", "x"], "needs either"),
        (["made", "--reference", "x", "--data", "y"], "needs either"),
        (["--vocoder", "v", "--data", "x", "--sampler", "evaluations=3"], "--sampler needs --model"),
        (["made", "--reference", "x", "--room-below", "40"], "--room-below needs --vocoder without --model"),
        (["made", "--reference", "x", "--out", "{tmp}/made"], "made is not a folder"),
        (["--model", "m", "--data", "x", "--metrics", "mos"], "no metric called 'mos'"),
        (
            ["made", "--reference", "x", "--metrics", "secs", "--speaker-encoder", "{tmp}/none"],
            "none: there is no such",
        ),
        (["--model", "m", "--data", "x", "--grammar", "{tmp}/none"], "expected grid, free or a JSGF"),
        (["--model", "m", "--data", "x", "--figure", "{tmp}/none.png"], "none.png: the picture"),
        (["--model", "m", "--data", "x", "--out", "{tmp}/file/out"], "cannot be made"),
    ],
)
def test_misuse_is_one_sentence(arguments, message, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(V2SError, match=message):
        run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
