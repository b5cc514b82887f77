"""Kills a training run (SIGKILL) at random moments, goes on, and compares the end with a run nobody disturbed.

`python -m tests.training.kills --kills 100` takes as long as it takes; a test does a few. Every life of the run must go
on from its newest checkpoint, at most the save interval (and the save that was being written) behind where it was
killed, and the last state must equal the undisturbed one to the bit.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# A life is a fork of this process, which has imported everything and computed nothing: so a start costs little.
os.environ["JAX_PLATFORMS"] = "cpu"
from tests.training import toy  # noqa: E402
from v2s_jax.training import loop  # noqa: E402

SAVE_EVERY = 2


def live(workdir, cache, steps):
    """A life of the run: to its end, if it is let."""
    import jax

    with open(f"{workdir}.log", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    toy.use_toy(setattr)
    config = toy.toy_config(**{"train.steps": steps, "train.save_every": SAVE_EVERY, "data.batch_size": 2})
    assert loop.train(config, workdir) == 0
    with contextlib.ExitStack() as stack:
        np.savez(f"{workdir}.npz", **toy.flat(loop.Run(config, workdir, stack).state))


def start(*arguments):
    """Begins a life."""
    process = multiprocessing.get_context("fork").Process(target=live, args=arguments)
    process.start()
    return process


def finish(workdir, *arguments):
    """A life that nobody ends."""
    process = start(workdir, *arguments)
    process.join()
    assert process.exitcode == 0, Path(f"{workdir}.log").read_text()


def reached(workdir):
    """Last step that `metrics.jsonl` tells of; a line that a kill cut short tells nothing."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    steps = [0]
    for line in lines:
        try:
            steps.append(json.loads(line)["step"])
        except (ValueError, KeyError):
            continue
    return steps[-1]


def saved(workdir):
    """Step of the newest complete checkpoint."""
    return max((int(path.name) for path in workdir.glob("checkpoints/*") if path.name.isdigit()), default=0)


def kills(folder, count, seed=0):
    """Kills a run `count` times; returns what happened, or raises AssertionError.

    Args:
        folder: for the runs; empty.
        count: kills; the run is as long as it needs to be.
        seed: of the moments.
    """
    rng, workdir, whole, cache = random.Random(seed), folder / "killed", folder / "whole", folder / "compiled"
    steps = 10 + 6 * count
    finish(whole, cache, steps)
    lost, starting = [], 0
    while len(lost) < count:
        before = saved(workdir)
        run = start(workdir, cache, steps)
        # A random moment of this life: in its start now and then, else within the next steps and their saves.
        early, target = rng.random() < 0.15, before + rng.randint(1, 6)
        deadline = time.monotonic() + (rng.uniform(0, 2) if early else 120)
        while run.is_alive() and time.monotonic() < deadline and (early or reached(workdir) < target):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        run.kill()
        run.join()
        if run.exitcode >= 0:
            assert run.exitcode == 0, Path(f"{workdir}.log").read_text()
            break  # it was done before all kills were
        lost.append(max(reached(workdir) - saved(workdir), 0))
        starting += early
        assert saved(workdir) >= before, "a checkpoint is gone"
        assert lost[-1] <= 2 * SAVE_EVERY, f"{lost[-1]} steps lost: {Path(f'{workdir}.log').read_text()[-3000:]}"
    finish(workdir, cache, steps)
    first, last = (dict(np.load(f"{path}.npz")) for path in (whole, workdir))
    assert first.keys() == last.keys()
    differing = [name for name in first if first[name].tobytes() != last[name].tobytes()]
    assert not differing, f"the state differs in {', '.join(differing)}"
    assert not (workdir / "broken_checkpoints").exists()
    return {"kills": len(lost), "of them while starting": starting, "steps": steps, "most steps lost": max(lost)}


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        before = time.monotonic()
        result = kills(Path(folder), args.kills, args.seed)
    print(f"{json.dumps(result)}: the same to the bit, in {time.monotonic() - before:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
