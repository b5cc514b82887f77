"""Checkpoints in `workdir/checkpoints`: state, loop state and config together, written in the background by Orbax.

Orbax writes to a temporary folder and renames it, so what a killed run leaves is never taken for a checkpoint. One
that is damaged anyway is moved to `workdir/broken_checkpoints` on restore, with a warning, and the one before it used.
"""

import copy
import json
import os
import threading
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing
from v2s_jax.training import cluster
from v2s_jax.training.differences import differences
from v2s_jax.training.ema import evaluation_params
from v2s_jax.training.paths import Tree
from v2s_jax.training.state import State

FOLDER = "checkpoints"
_FREE = frozenset({"remat", "scan"})  # say how a model is computed, and not what: they may change between starts


class Restored(NamedTuple):
    """What a checkpoint held."""

    state: State
    loop: dict[str, Any]  # JSON: the loader's position, the best metric so far
    config: dict[str, Any]


class Checkpoints:
    """The checkpoints of one workdir: the latest `keep` and the best one.

    Args:
        workdir: the run's folder.
        keep: how many of the latest to keep.
        best_is: "max" or "min": which metric passed to `save` is best.
    """

    def __init__(self, workdir: str | os.PathLike, keep: int, best_is: str):
        if best_is not in ("max", "min"):
            raise V2SError(f'train.best_is is {best_is!r}; it must be "max" or "min".')
        self.workdir = Path(workdir).absolute()
        self._keep, self._best_is = keep, best_is
        # Orbax raises a failed write in `result`, where `save` reports it, and once more at the end of its thread.
        self._hook, threading.excepthook = threading.excepthook, self._thread_failed
        self._open()

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        if not type(failure.thread).__module__.startswith("orbax."):
            self._hook(failure)

    def _open(self) -> None:
        policies = ocp.training.preservation_policies
        best = policies.BestN(get_metric_fn=self._score, n=1, keep_checkpoints_without_metrics=False)
        self._checkpointer = ocp.training.Checkpointer(
            self.workdir / FOLDER,
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(self._keep), best]),
            cleanup_tmp_directories=True,
        )

    def _score(self, metrics: dict[str, float]) -> float:
        return metrics["best"] if self._best_is == "max" else -metrics["best"]

    def steps(self) -> list[int]:
        """Steps that have a complete checkpoint, ascending."""
        return [checkpoint.step for checkpoint in self._checkpointer.checkpoints]

    def save(self, step: int, state: State, loop: dict, config: dict, metric: float | None = None) -> str | None:
        """Starts writing a checkpoint; returns once the state is copied, so that it may be donated.

        Args:
            step: steps done.
            state: the train state.
            loop: JSON values of the loop.
            config: the config as JSON values.
            metric: what decides which checkpoint is best.

        Returns:
            None, or one sentence saying why this save or the one before it failed; both leave nothing behind.
        """
        complaint = self.wait()
        if step in self.steps():
            return complaint
        metrics = {"best": float(metric)} if metric is not None and np.isfinite(metric) else None
        # A copy: it is written in the background, when the loop may have changed its own.
        custom = copy.deepcopy({"loop": loop, "config": config})
        failure = None
        try:
            self._pending = self._checkpointer.save_checkpointables_async(
                step, {"state": state}, force=True, metrics=metrics, custom_metadata=custom
            )
        except (OSError, ValueError, RuntimeError) as error:
            failure = error
        return self._agreed(failure) or complaint

    _pending: Any = None

    def wait(self) -> str | None:
        """Waits for the save in progress; the sentence of `save` if it failed."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        failure = None
        try:
            pending.result()
        except (OSError, ValueError, RuntimeError) as error:
            failure = error
        return self._agreed(failure)

    def _agreed(self, failure: Exception | None) -> str | None:
        """None if no process failed; else the sentence of `save`, and all start afresh: Orbax repeats its errors."""
        reason = _anywhere(failure)
        if not reason:
            return None
        self._open()
        return f"No checkpoint could be written under {self.workdir / FOLDER}: {reason.rstrip('.')}."

    def close(self) -> str | None:
        """Waits and lets go; the sentence of `save` if the last save failed."""
        complaint = self.wait()
        self._checkpointer.close()
        threading.excepthook = self._hook
        return complaint

    def restore(self, abstract: State, config: dict, step: int | None = None) -> Restored | None:
        """The newest checkpoint that can be read, or that of `step`; None if there is none.

        Args:
            abstract: shapes, dtypes and shardings of the state to restore into.
            config: the present config as JSON values; its `system` section must be that of the checkpoint.
            step: a step of `steps()`.

        Raises:
            V2SError: the checkpoint is of another system, or its state has another structure.
        """
        for candidate in [step] if step is not None else self.steps()[::-1]:
            failure = None
            try:
                metadata = self._checkpointer.metadata(candidate)
                saved = metadata.custom_metadata
                self._check(candidate, saved["config"], config, metadata.metadata, abstract)
                state = self._checkpointer.load_checkpointables(candidate, {"state": abstract})["state"]
            except V2SError:
                raise
            except Exception as error:  # whatever a damaged file makes Orbax and tensorstore raise
                failure = error
            if reason := _anywhere(failure):
                self._set_aside(candidate, reason)
                continue
            return Restored(_own(state, abstract), saved["loop"], saved["config"])
        return None

    def _check(self, step: int, saved: dict, config: dict, stored: Any, abstract: State) -> None:
        where = self.workdir / FOLDER / str(step)
        if changed := differences(_model(saved["system"]), _model(config["system"]), "system"):
            raise V2SError(
                f"{where} holds a model of another config ({'; '.join(changed)}): use that config or another workdir."
            )
        if stored is None:
            raise ValueError("its state is damaged")
        if changed := differences(_shapes(stored), _shapes(abstract), "state"):
            raise V2SError(
                f"{where} holds a state of another structure ({'; '.join(changed[:5])}): train with the optimizer, "
                "ema and rules it was made with, or use another workdir."
            )

    def _set_aside(self, step: int, reason: str) -> None:
        target = self.workdir / "broken_checkpoints" / str(step)
        warnings.warn(f"The checkpoint of step {step} cannot be read and goes to {target}: {reason}.", stacklevel=3)
        self._checkpointer.close()
        if jax.process_index() == 0:
            target.parent.mkdir(exist_ok=True)
            os.replace(self.workdir / FOLDER / str(step), target)
        cluster.exchange("moved")  # before anyone looks
        self._open()


def _model(section: dict[str, Any]) -> dict[str, Any]:
    """A system's section without the settings that are free to change."""
    found = {name: value for name, value in section.items() if name not in _FREE}
    return {name: _model(value) if isinstance(value, dict) else value for name, value in found.items()}


def _anywhere(failure: Exception | None) -> str:
    """The first process's failure, in one line; "" if none failed."""
    said = "" if failure is None else " ".join(str(failure).split())[:300] or type(failure).__name__
    return next(filter(None, cluster.exchange(said)), "")


def _own(state: State, abstract: State) -> State:
    """Copies of restored arrays: donating the buffers Orbax hands out is refused silently (jax#18617)."""
    return jax.jit(lambda x: x, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, abstract))(state)


def _shapes(tree: Any) -> dict[str, str]:
    """Shape by path, in Orbax's spelling of keys whatever the containers are; the random key is stored as numbers."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree | {"key": None})
    return {"/".join(_name(key) for key in path): str(tuple(leaf.shape)) for path, leaf in leaves}


def _name(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    raise TypeError(f"unknown kind of key {key!r}")


def config_json(config: ConfigDict) -> dict[str, Any]:
    """A config as plain JSON values, as it is stored with a checkpoint and in `config.json`."""
    return json.loads(config.to_json())


def make_workdir(workdir: str | os.PathLike) -> None:
    """Makes the folder, and makes sure that it can be written to.

    Raises:
        V2SError: it cannot.
    """
    probe = Path(workdir) / f".writable.{os.getpid()}"
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise V2SError(f"The workdir {workdir} cannot be written to ({error.strerror}): choose another one.") from error


def write_config(workdir: str | os.PathLike, config: dict[str, Any]) -> None:
    """Writes `workdir/config.json`, whole or not at all.

    Raises:
        V2SError: it cannot.
    """
    with replacing(Path(workdir) / "config.json") as file:
        file.write(f"{json.dumps(config, indent=2)}\n".encode())


def read_weights(workdir: str | os.PathLike, best: bool = True) -> tuple[ConfigDict, Tree, Tree]:
    """A trained model from its workdir, for synthesis and export.

    Args:
        workdir: folder of a training run.
        best: the best checkpoint, or else (or when none was scored) the latest.

    Returns:
        The config, parameters (averaged where averages were kept) and batch-norm statistics, as numpy arrays.

    Raises:
        V2SError: no complete checkpoint there.
    """
    folder = Path(workdir).absolute() / FOLDER
    if not folder.is_dir():
        raise V2SError(f"{workdir} is no training workdir: it has no folder {FOLDER}.")
    with ocp.training.Checkpointer(folder) as checkpointer:
        found = list(checkpointer.checkpoints)
        if not found:
            raise V2SError(f"{workdir} holds no complete checkpoint yet: train until the first one is saved.")
        metadata = checkpointer.metadata(found[-1])
        config = ConfigDict(metadata.custom_metadata["config"])
        choose = max if config.train.best_is == "max" else min
        scored = [c for c in found if c.metrics] if best else []
        chosen = choose(scored, key=lambda c: c.metrics["best"]) if scored else found[-1]
        stored = checkpointer.metadata(chosen).metadata
        wanted = {name: stored[name] for name in ("params", "stats", "ema")}
        abstract = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), wanted)
        context = ocp.Context()
        context.pytree.loading.partial_load = True
        with context:
            state = ocp.load_checkpointables(chosen.path, {"state": abstract})["state"]
    state = {name: nnx.restore_int_paths(tree) for name, tree in state.items()}  # Orbax keeps list indices as strings
    return config, evaluation_params(state), state["stats"]
