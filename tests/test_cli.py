import subprocess
import sys

import pytest

from v2s_jax import __version__, cli


def test_every_command_describes_itself():
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as stop:
            cli.main([name, "--help"])
        assert stop.value.code == 0


def test_help_lists_every_command_with_a_line(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert all(name in out for name in cli.COMMANDS)


def test_a_users_mistake_is_one_sentence_and_status_1(capsys):
    assert cli.main(["train", "--config=missing.py", "--workdir=nowhere"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("v2s-jax train: ") and "missing.py" in err
    assert err.count("\n") == 1 and "Traceback" not in err


def test_traceback_is_shown_when_asked_for():
    with pytest.raises(Exception, match="missing.py"):
        cli.main(["train", "--traceback", "--config=missing.py", "--workdir=nowhere"])


def test_unknown_command_is_status_2():
    with pytest.raises(SystemExit) as stop:
        cli.main(["sing"])
    assert stop.value.code == 2


def test_the_installed_program_runs():
    done = subprocess.run(
        [sys.executable, "-m", "v2s_jax.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"v2s-jax {__version__}"
