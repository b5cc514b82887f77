"""A run killed at random moments ends as one that nobody disturbed: a few of the kills that `kills.py` can do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_the_same_to_the_bit():
    command = [sys.executable, "-m", "tests.training.kills", "--kills", "2"]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    result, _, verdict = run.stdout.rpartition(": the same to the bit")
    assert verdict and json.loads(result)["kills"] >= 1, run.stdout
