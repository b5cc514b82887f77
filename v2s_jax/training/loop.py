"""Training from a config and a workdir: the runs of an experiment, one after the other (`run.py` is one of them)."""

import contextlib
import os
from pathlib import Path

import jax
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.training import checkpoint, cluster
from v2s_jax.training.plan import make_plan
from v2s_jax.training.run import Run
from v2s_jax.training.stages import stages_of


def train(config: ConfigDict, workdir: str | os.PathLike) -> int:
    """Trains to `config.train.steps`, going on from the newest checkpoint in `workdir` if there is one.

    Args:
        config: an experiment; see `defaults.py`, and `stages.py` for those of several stages.
        workdir: gets checkpoints, config.json, metrics.jsonl, tensorboard, pictures and model.txt.

    Returns:
        Exit status: 0 when the run is complete (or stopped early by `train.patience`), 128 + the signal's number when
        it was interrupted, in which case the same call goes on to the bit.

    Raises:
        V2SError: something in the config, data or workdir to mend; or the loss or a gradient is not finite.
    """
    runs = list(stages_of(config, Path(workdir)))
    begun = [number for number, (_, folder) in enumerate(runs) if (folder / checkpoint.FOLDER).is_dir()]
    first = max(begun, default=0)  # a stage begins when those before it are complete
    cluster.agree({"program": cluster.program(), "config": checkpoint.config_json(config), "stage": first})
    left = runs[first:]
    # What is wrong with a later stage is said now, not when those before it have trained.
    cluster.together(lambda: [make_plan(own) for own, _ in left[1:]])
    status = 0
    for own, folder in left:
        status = status or _train(own, folder)
    return status


def _train(config: ConfigDict, workdir: Path) -> int:
    """One run."""
    cluster.together(lambda: checkpoint.make_workdir(workdir))
    cluster.check_shared(workdir)
    with contextlib.ExitStack() as stack, cluster.leaving_alone():
        try:
            return Run(config, workdir, stack).go()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise V2SError(
                f"The training step does not fit the device's memory ({str(error).splitlines()[0]}): lower "
                "data.batch_size or data.buckets, or split the parameters over more devices with mesh.fsdp."
            ) from error
