"""Training from a config and a workdir, read from top to bottom: mesh, data, state, step, loop."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from v2s_jax.data.loader import Loader
from v2s_jax.errors import V2SError
from v2s_jax.training import checkpoint, mesh, validate
from v2s_jax.training.ema import evaluation_params
from v2s_jax.training.feed import Prefetch
from v2s_jax.training.grafts import graft
from v2s_jax.training.initial import start_from
from v2s_jax.training.interrupt import Interrupt
from v2s_jax.training.overview import overview, totals
from v2s_jax.training.plan import make_plan, make_system
from v2s_jax.training.stages import stages_of
from v2s_jax.training.state import State, create_state
from v2s_jax.training.step import compile_eval_steps, compile_train_step, make_eval_steps, make_train_step
from v2s_jax.training.writers import LateMetrics, Progress, Writers


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
    left = runs[max(begun, default=0) :]  # a stage begins when those before it are complete
    for own, _ in left[1:]:
        make_plan(own)  # what is wrong with a later stage is said now, not when those before it have trained
    status = 0
    for own, folder in left:
        status = status or _train(own, folder)
    return status


def _train(config: ConfigDict, workdir: Path) -> int:
    """One run."""
    checkpoint.make_workdir(workdir)
    try:
        with contextlib.ExitStack() as stack:
            return Run(config, workdir, stack).go()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise V2SError(
            f"The training step does not fit the device's memory ({str(error).splitlines()[0]}): lower data.batch_size "
            "or data.buckets, or split the parameters over more devices with mesh.fsdp."
        ) from error


class Run:
    """One training run in one process."""

    def __init__(self, config: ConfigDict, workdir: str | os.PathLike, stack: contextlib.ExitStack):
        self.config, self.workdir, self.stack = config, Path(workdir), stack
        self.json = checkpoint.config_json(config)

        # Mesh
        self.mesh = mesh.make_mesh(config.mesh)
        self.rows = mesh.batch_sharding(self.mesh)
        mesh.check_rows(config.data.batch_size, self.mesh)

        # System and data
        self.system, self.players, self.training, self.validation = make_plan(config)

        # State: shapes first, so that a resumed run makes no weights it throws away
        def initial(key: jax.Array) -> State:
            system = make_system(config, jax.random.fold_in(key, 0))
            return create_state(system, self.players, config.ema.decay, jax.random.fold_in(key, 1))

        key = jax.random.key(config.seed)
        shapes = jax.eval_shape(initial, key)
        self.shardings = mesh.state_shardings(shapes, self.players, self.mesh, config.mesh)

        # Checkpoint or fresh start
        self.checkpoints = checkpoint.Checkpoints(workdir, config.train.keep, config.train.best_is)
        stack.callback(self.checkpoints.close)
        abstract = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            self.shardings,
        )
        restored = self.checkpoints.restore(abstract, self.json)
        if restored is None:
            self.state = jax.jit(initial, out_shardings=self.shardings)(key)
            if config.train.init_from:
                self.state = start_from(self.state, config, self.system, self.shardings)
            if config.train.grafts:
                self.state = graft(self.state, config.train.grafts, self.shardings)
            self.loop: dict[str, Any] = {"loader": self.training.state(0), "best": None, "best_step": 0}
        else:
            self.state, self.loop = restored.state, restored.loop
        self.start = self.training.check_state(self.loop["loader"])

        # Step
        decay = config.ema.decay
        self.step = compile_train_step(make_train_step(self.system, self.players, decay), self.shardings, self.rows)
        self.losses, self.synthesize = compile_eval_steps(make_eval_steps(self.system, self.players), self.mesh)

        # Writers
        if jax.process_index() == 0:
            checkpoint.write_config(workdir, self.json)
            (self.workdir / "model.txt").write_text(overview(shapes, self.players) + "\n")
        self.writers = Writers(workdir, self.start)
        stack.callback(self.writers.close)
        self.progress = Progress(self.start, config.train.steps)
        stack.callback(self.progress.close)
        self.metrics = LateMetrics()
        self._announce(restored)

    def _announce(self, restored: checkpoint.Restored | None) -> None:
        say, steps = self.progress.say, self.config.train.steps
        say(
            f"{self.json['system']['name']}: {totals(self.state, self.players)} (table in {self.workdir / 'model.txt'})"
        )
        say(f"{jax.device_count()} {jax.devices()[0].platform} device(s), mesh {dict(self.mesh.shape)}")
        if restored is None:
            say(f"Starting in {self.workdir}, {steps} steps.")
            return
        say(f"Going on in {self.workdir} from step {self.start} of {steps}.")
        for line in checkpoint.differences(restored.config, self.json):
            say(f"  changed since the checkpoint: {line}")

    def go(self) -> int:
        """The loop."""
        config, step = self.config.train, self.start
        interrupt = self.stack.enter_context(Interrupt())
        batches = self.batches()
        profiler = self.stack.enter_context(contextlib.ExitStack())
        while step < config.steps and not self.out_of_patience(step) and interrupt.signal is None:
            self.profile(step, profiler)
            batch = self.next_batch(batches)
            with jax.transfer_guard("disallow"), jax.profiler.StepTraceAnnotation("train", step_num=step):
                self.state, metrics = self.step(self.state, batch)
            step += 1
            self.note(self.metrics.push(step, metrics))
            self.progress.advance()
            if step == self.start + 1:
                self.first_step(step)
            if self.validation is not None and self.due(step, self.config.validation.every):
                self.note(self.metrics.flush())
                self.validate(step, self.validation)
            elif self.due(step, config.save_every):
                self.save(step)
        return self.finish(step, interrupt)

    def batches(self) -> Prefetch:
        """Global batches on the devices, from the step the run goes on at."""
        source = self.training.batches(
            start_step=self.start, process_index=jax.process_index(), process_count=jax.process_count()
        )
        feed = Prefetch(source, lambda batch: mesh.put_batch(batch, self.rows))
        self.stack.callback(feed.close)
        return feed

    def next_batch(self, batches: Iterator) -> Any:
        """The next batch; the time it took counts as waiting for data."""
        before = time.perf_counter()
        batch = next(batches)
        self.progress.waited(time.perf_counter() - before)
        return batch

    def due(self, step: int, every: int) -> bool:
        """Whether something that happens every so many steps, and at the end, happens now."""
        return bool(every) and (step % every == 0 or step == self.config.train.steps)

    def first_step(self, step: int) -> None:
        """Waits for the first step, which compiles, and measures speed from here on."""
        jax.block_until_ready(self.state["step"])
        self.progress.say(f"First step made, compiling included, in {self.progress.elapsed():.1f} s.")
        self.progress.restart(step)

    def note(self, entry: tuple[int, dict[str, float]] | None) -> None:
        """Looks at one step's metrics and logs the mean of the last ones now and then.

        Raises:
            V2SError: a loss or gradient was not finite.
        """
        if entry is None:
            return
        step, values = entry
        if not values["finite"]:
            latest = self.checkpoints.steps()
            kept = f"the checkpoint of step {latest[-1]} is the last good one" if latest else "nothing was saved yet"
            raise V2SError(
                f"The loss ({values.get('loss', float('nan')):g}) or a gradient was not finite at step {step} "
                f"and the run stopped; {kept}: lower optimizer.learning_rate or look at the data."
            )
        if step % self.config.train.log_every == 0 or step == self.config.train.steps:
            means = self.metrics.means()
            del means["finite"]
            self.writers.scalars(step, means | self.progress.report(step, means))

    def validate(self, step: int, loader: Loader) -> None:
        """Measures on the validation split, keeps the best and saves."""
        before = time.perf_counter()
        metrics, clips = validate.validate(
            self.losses,
            self.synthesize,
            evaluation_params(self.state),
            self.state["stats"],
            loader.epoch(),
            lambda batch: mesh.put_batch(batch, self.rows),
            self.system.kind,
            self.config.validation,
        )
        self.writers.scalars(step, metrics)
        validate.show(clips, step, self.writers, self.workdir)
        self.progress.say(
            f"validation at step {step} ({time.perf_counter() - before:.1f} s): {validate.numbers(metrics)}"
        )
        name = self.config.train.best
        if name not in metrics:
            raise V2SError(
                f"train.best is {name!r}, which validation did not give; it gave {', '.join(sorted(metrics))}."
            )
        value, best = metrics[name], self.loop["best"]
        if best is None or (value > best if self.config.train.best_is == "max" else value < best):
            self.loop |= {"best": value, "best_step": step}
        self.save(step, value)
        self.progress.restart(step)

    def out_of_patience(self, step: int) -> bool:
        """Whether the best metric has not improved for `train.patience` steps."""
        patience = self.config.train.patience
        return bool(patience) and self.loop["best"] is not None and step - self.loop["best_step"] >= patience

    def save(self, step: int, metric: float | None = None) -> None:
        """Saves, unless the last steps were not finite; a failed save is reported and training goes on."""
        self.note(self.metrics.flush())
        self.loop["loader"] = self.training.state(step)
        complaint = self.checkpoints.save(step, self.state, self.loop, self.json, metric)
        if complaint:
            self.progress.say(f"{complaint} Training goes on; the next save tries again.")

    def profile(self, step: int, profiler: contextlib.ExitStack) -> None:
        """Starts and stops the profiler at the steps of `train.profile`; a run that ends between them stops it too."""
        first, last = self.config.train.profile
        if first < last and step == first:
            profiler.enter_context(jax.profiler.trace(str(self.workdir / "profile")))
        if first < last and step == last:
            jax.block_until_ready(self.state["step"])
            profiler.close()
            self.progress.say(f"Profile of steps {first} to {last} in {self.workdir / 'profile'}.")

    def finish(self, step: int, interrupt: Interrupt) -> int:
        """Saves what is not saved, waits for the disk and says how the run ended.

        Raises:
            V2SError: the last save failed.
        """
        self.note(self.metrics.flush())
        complaint = self.checkpoints.wait()
        if step not in self.checkpoints.steps():
            self.loop["loader"] = self.training.state(step)
            complaint = self.checkpoints.save(step, self.state, self.loop, self.json) or self.checkpoints.wait()
        if step not in self.checkpoints.steps():
            raise V2SError(f"The run ended at step {step} without a checkpoint of it: {complaint}")
        if interrupt.signal is not None:
            self.progress.say(
                f"Stopped by {interrupt.signal.name} at step {step}, saved; the same command goes on from there."
            )
            return 128 + interrupt.signal
        best = self.loop["best"]
        scored = "" if best is None else f"; best {self.config.train.best} {best:.4g} at step {self.loop['best_step']}"
        early = f", no better for {self.config.train.patience} steps" if step < self.config.train.steps else ""
        self.progress.say(f"Done at step {step}{early}{scored}. Checkpoints in {self.workdir / checkpoint.FOLDER}.")
        return 0
