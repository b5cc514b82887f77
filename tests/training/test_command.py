import argparse

import pytest

from v2s_jax.errors import V2SError
from v2s_jax.training import command

FILE = """
from v2s_jax.training.defaults import default_config
def get_config():
    config = default_config()
    config.system.name = "svts"
    return config
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "experiment.py"
    path.write_text(FILE)
    return path


def parse(*arguments):
    """As the program does: the command is a sub-parser."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser.add_subparsers().add_parser("train"))
    return parser.parse_args(["train", *arguments])


def test_overrides_are_taken_wherever_they_stand():
    args = parse("--config.train.steps=3", "--config=a.py", "--config.data.path", "b", "--workdir=w")
    assert args.config == "a.py" and args.workdir == "w"
    assert args.overrides == ["--config.train.steps=3", "--config.data.path=b"]


def test_other_unknown_options_are_still_refused(capsys):
    with pytest.raises(SystemExit):
        parse("--config=a.py", "--workdir=w", "--steps=3")
    assert "--steps=3" in capsys.readouterr().err


def test_overrides_keep_the_type_of_the_default(file):
    overrides = ["--config.train.steps=7", "--config.data.buckets=(50,100)", "--config.optimizer.learning_rate=1e-4"]
    config = command.load_config(file, overrides)
    assert config.train.steps == 7 and config.data.buckets == (50, 100) and config.optimizer.learning_rate == 1e-4
    assert config.is_locked and config.system.name == "svts"


def test_a_file_may_have_variants(tmp_path):
    path = tmp_path / "variants.py"
    path.write_text(FILE.replace("get_config()", "get_config(variant='plain')").replace('"svts"', "variant"))
    assert command.load_config(path).system.name == "plain"
    config = command.load_config(f"{path}:other", ["--config.train.steps=3"])
    assert (config.system.name, config.train.steps) == ("other", 3)
    with pytest.raises(V2SError, match="config file .*none.py:other does not exist"):
        command.load_config(f"{tmp_path}/none.py:other")


def test_a_file_without_variants_says_so(file):
    with pytest.raises(V2SError, match="experiment.py failed: TypeError: get_config.* takes 0 positional arguments"):
        command.load_config(f"{file}:other")


def test_an_unknown_setting_is_answered_with_the_closest(file):
    with pytest.raises(V2SError, match="has no setting train.stps; did you mean train.steps?"):
        command.load_config(file, ["--config.train.stps=3"])
    with pytest.raises(V2SError, match="has no setting xyz; there are .*seed, stages, system.name"):
        command.load_config(file, ["--config.xyz=3"])


def test_a_value_of_another_type_is_refused(file):
    with pytest.raises(V2SError, match="train.steps=many: invalid literal"):
        command.load_config(file, ["--config.train.steps=many"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "no function get_config"),
        ("def get_config(): return {}", "must return an ml_collections ConfigDict, not dict"),
        ("def get_config(): return 1 / 0", "ZeroDivisionError"),
        ("def get_config(:", "SyntaxError"),
    ],
)
def test_broken_files_are_named(tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(V2SError, match=f"broken.py.*{message}"):
        command.load_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(V2SError, match="config file .*nothing.py does not exist: give one such as those in configs/"):
        command.load_config(tmp_path / "nothing.py")


def test_steps_to_profile_on_the_command_line():
    assert command.parse_steps("100:110") == (100, 110)
    for text in ("100", "5:5", "9:3", "-1:3", "a:b", "1:2:3", ""):
        with pytest.raises(V2SError, match="write the first step and a later one, such as 100:110"):
            command.parse_steps(text)


def test_run_trains_with_the_config(file, tmp_path, monkeypatch):
    from v2s_jax.training import loop

    calls = []
    monkeypatch.setattr(loop, "train", lambda config, workdir: calls.append((config.train, workdir)) or 0)
    flags = ["--config.train.steps=5", "--profile=2:4"]
    assert command.run(parse(f"--config={file}", f"--workdir={tmp_path}", *flags)) == 0
    ((settings, workdir),) = calls
    assert (settings.steps, settings.profile, workdir) == (5, (2, 4), str(tmp_path))
