"""Real processes with four fake devices each train the toy, agree, stop together and miss each other."""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests.training import toy
from v2s_jax.errors import V2SError
from v2s_jax.training import cluster, command, loop
from v2s_jax.training.watchdog import STATUS

ROOT = Path(__file__).parents[2]
STEPS = 40
SETTINGS = {"train.steps": STEPS, "train.save_every": 100}
SHARDED = {"mesh.fsdp": 2, "mesh.min_shard_size": 64}
pytestmark = pytest.mark.usefixtures("compile_once", "toy_system")


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def environment():
    """Of a child: it shares what this module compiles."""
    shared = [
        name for name in dir(jax.config) if name.startswith(("jax_persistent_cache_min", "jax_compilation_cache_d"))
    ]
    return os.environ | {name.upper(): str(getattr(jax.config, name)) for name in shared} | {"JAX_PLATFORMS": "cpu"}


@contextlib.contextmanager
def pair(workdir, *settings, more=(), root=ROOT, variables=None):
    """Two processes with four devices each; `more` settings, another `root` and `variables` are the second's alone."""
    port, started = free_port(), []
    places = [(ROOT, environment()), (root, environment() | (variables or {}))]
    for process, (folder, variables) in enumerate(places):
        own = [f"{name}={json.dumps(value)}" for name, value in [*settings, *(more if process else ())]]
        command = [sys.executable, "-m", "tests.training.toy", str(workdir), "--devices=4", "--peer-timeout=10"]
        command += [f"--coordinator=localhost:{port}", "--processes=2", f"--process={process}", "--set", *own]
        log = open(f"{workdir}.{process}.log", "w")  # noqa: SIM115 (closed with the child)
        started.append(subprocess.Popen(command, cwd=folder, stderr=log, stdout=log, env=variables))
        log.close()
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def said(workdir, process):
    """What a process has said so far."""
    return Path(f"{workdir}.{process}.log").read_text()


def wait_until_said(workdir, text, processes):
    """Until process 0 has said something."""
    while text not in said(workdir, 0):
        assert all(process.poll() is None for process in processes), said(workdir, 0) + said(workdir, 1)
        time.sleep(0.05)


def losses(workdir):
    return [json.loads(line)["loss"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_stop_as_one_and_go_on_as_one(tmp_path):
    config = toy.toy_config(**SETTINGS)
    assert loop.train(config, tmp_path / "alone") == 0
    alone, both = losses(tmp_path / "alone"), tmp_path / "both"
    assert len(alone) == STEPS
    with pair(both, *(SETTINGS | SHARDED).items()) as processes:
        wait_until_said(both, "step 20/", processes)
        processes[1].send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in processes] == [128 + signal.SIGTERM] * 2, said(both, 0) + said(both, 1)
    step = int(re.search(r"Stopped by SIGTERM at step (\d+), saved", said(both, 0)).group(1))
    assert 20 <= step < STEPS and len(losses(both)) == step
    assert "step" not in said(both, 1).replace("finishing this step", "")  # one voice
    np.testing.assert_allclose(losses(both)[:20], alone[:20], rtol=0, atol=1e-5)
    # What two processes saved, one goes on with, on the same batches.
    assert loop.train(config, both) == 0
    np.testing.assert_allclose(losses(both), alone, rtol=0, atol=1e-4)  # Adam lets rounding errors grow


def test_processes_that_differ_are_named_with_what_differs_and_none_hangs(tmp_path):
    other = tmp_path / "other"
    shutil.copytree(ROOT / "v2s_jax", other / "v2s_jax", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    (other / "tests").symlink_to(ROOT / "tests")
    with (other / "v2s_jax" / "errors.py").open("a") as file:
        file.write("# changed\n")
    with pair(tmp_path / "run", more=[("optimizer.learning_rate", 0.1)], root=other) as processes:
        assert [process.wait(60) for process in processes] == [1, 1]
    for process in range(2):
        assert re.search(
            r"process 1 on \S+ differs from process 0 on \S+ \(config.optimizer.learning_rate: 0.001 -> 0.1; "
            r"program.v2s_jax: (\S+ \w{12}) -> (?!\1)\S+ \w{12}\): start",
            said(tmp_path / "run", process),
        )
    assert not (tmp_path / "run").exists()


def test_so_are_those_that_read_different_data(tmp_path):
    run = tmp_path / "run"
    with pair(run, variables={"TOY_FINGERPRINT": "other"}) as processes:
        assert [process.wait(60) for process in processes] == [1, 1]
    for process in range(2):
        assert re.search(
            r"process 1 .* differs from process 0 .* \(data.fingerprint: good -> other\)", said(run, process)
        )


@pytest.mark.slow
def test_a_killed_process_ends_the_other_with_a_message(tmp_path):
    with pair(tmp_path / "run", *(SETTINGS | SHARDED).items()) as processes:
        wait_until_said(tmp_path / "run", "step 3/", processes)
        processes[1].kill()
        assert processes[0].wait(60) not in (0, None)
    assert re.search("another (process|task).*(ended|died)", said(tmp_path / "run", 0))


def test_what_fails_on_one_process_is_raised_by_all(monkeypatch):
    def fail():
        raise V2SError("no such data")

    assert cluster.together(lambda: 3) == 3
    with pytest.raises(V2SError, match="^no such data$"):
        cluster.together(fail)
    monkeypatch.setattr(cluster, "exchange", lambda text: [text, "on host7: no such data"])
    with pytest.raises(V2SError, match="process 1 on host7: no such data"):
        cluster.together(lambda: 3)


def test_rows_of_a_process_need_not_be_neighbours():
    devices = np.array(jax.devices()[:1]).reshape(1, 1, 1)
    sharding = NamedSharding(Mesh(devices, ("data", "fsdp", "tensor")), PartitionSpec(("data", "fsdp")))
    assert cluster.rows_here(sharding, 6) == list(range(6))

    assert cluster.rows_at([slice(4, 6), slice(0, 2), slice(0, 2)], 8) == [0, 1, 4, 5]
    assert cluster.rows_at([slice(None), slice(None)], 3) == [0, 1, 2]


@pytest.mark.parametrize("flags", [["--coordinator=here:1"], ["--coordinator=here:1", "--processes=2", "--process=2"]])
def test_options_that_do_not_say_who_takes_part_are_refused(flags):
    parser = argparse.ArgumentParser()
    command.add_cluster_arguments(parser)
    with pytest.raises(V2SError, match="go together: give all three, --process from 0 to one less"):
        cluster.connect(parser.parse_args(flags))


def test_no_cluster_is_said_in_a_sentence(tmp_path):
    words = ["v2s_jax.cli", "train", "--distributed=auto", "--config=none.py", f"--workdir={tmp_path}"]
    run = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=environment(), timeout=60)
    assert run.returncode == 1
    assert re.match(
        "v2s-jax train: no cluster to train on .* Slurm, GKE and JobSet, Cloud TPU and Open MPI", run.stderr
    )


def test_a_hang_ends_the_process_and_says_where():
    program = (
        "import time; from v2s_jax.training.watchdog import Watchdog\n"
        "with Watchdog(0.4) as dog:\n"
        "    for _ in range(8): time.sleep(0.1); dog.beat()\n"
        "    print('alive', flush=True)\n"
        "    time.sleep(60)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.returncode == STATUS and run.stdout == "alive\n"
    assert "a process hangs, so this one ends" in run.stderr and '"<string>", line 5' in run.stderr
