"""One training run, read from top to bottom: mesh, data, state, step, loop."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from v2s_jax.data.loader import Loader
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing
from v2s_jax.training import checkpoint, cluster, mesh, validate
from v2s_jax.training.differences import differences
from v2s_jax.training.ema import evaluation_params
from v2s_jax.training.feed import Prefetch
from v2s_jax.training.grafts import graft, left_random
from v2s_jax.training.initial import start_from
from v2s_jax.training.interrupt import Interrupt, Verdict
from v2s_jax.training.levels import with_levels
from v2s_jax.training.nonfinite import NotFiniteError
from v2s_jax.training.overview import overview, totals
from v2s_jax.training.plan import initial_state, make_plan
from v2s_jax.training.profiler import Profiler
from v2s_jax.training.state import State
from v2s_jax.training.step import compile_eval_steps, compile_train_step, make_eval_steps, make_train_step
from v2s_jax.training.utilisation import Utilisation
from v2s_jax.training.watchdog import Watchdog
from v2s_jax.training.writers import LateMetrics, Progress, Writers


class Run:
    """One training run; every process of it does the same."""

    def __init__(self, config: ConfigDict, workdir: str | os.PathLike, stack: contextlib.ExitStack):
        self.workdir, self.stack = Path(workdir), stack
        if config.train.on_nonfinite not in ("stop", "rollback"):
            raise V2SError(f'train.on_nonfinite is {config.train.on_nonfinite!r}; it must be "stop" or "rollback".')

        # Mesh
        self.mesh = mesh.make_mesh(config.mesh)
        self.rows = mesh.batch_sharding(self.mesh)
        mesh.check_rows(config.data.batch_size, self.mesh)

        # System and data
        self.system, self.players, self.training, self.validation = cluster.together(lambda: make_plan(config))
        cluster.agree({"data": self.training.state(0), "validation": self.validation and self.validation.state(0)})
        self.config = cluster.together(lambda: with_levels(config, self.system, self.training))
        self.json = checkpoint.config_json(self.config)
        self.own_rows = cluster.rows_here(self.rows, config.data.batch_size)

        # State: shapes first, so that a resumed run makes no weights it throws away
        initial = initial_state(config, self.players)
        key = jax.random.key(config.seed)
        shapes = jax.eval_shape(initial, key)
        self.shardings = mesh.state_shardings(shapes, self.players, self.mesh, config.mesh)

        # Checkpoint or fresh start
        self.checkpoints = checkpoint.Checkpoints(workdir, config.train.keep, config.train.best_is)
        stack.callback(self.checkpoints.close)
        self.abstract = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            self.shardings,
        )
        restored = self.checkpoints.restore(self.abstract, self.json)
        if restored is None:
            self.state = self.fresh(initial, key)
            if config.train.init_from:
                self.state = start_from(self.state, config, self.system, self.shardings)
            if config.train.grafts:
                self.state = graft(self.state, config.train.grafts, self.shardings)
            self.loop: dict[str, Any] = {"loader": self.training.state(0), "best": None, "best_step": 0}
        else:
            self.state, self.loop = restored.state, restored.loop
        self.start = self.training.check_state(self.loop["loader"]) - self.skipped

        # Step
        decay = config.ema.decay
        self.step = compile_train_step(
            make_train_step(self.system, self.players, decay, config.train.accumulate), self.shardings, self.rows
        )
        self.utilisation = Utilisation(self.step)
        self.losses, self.synthesize = compile_eval_steps(make_eval_steps(self.system, self.players), self.mesh)

        # Writers
        if jax.process_index() == 0:
            checkpoint.write_config(workdir, self.json)
            with replacing(self.workdir / "model.txt") as file:
                file.write(f"{overview(shapes, self.players, self.mesh, config.mesh)}\n".encode())
        self.progress = Progress(self.start, config.train.steps)
        stack.callback(self.progress.close)
        self.writers = Writers(workdir, self.start, self.progress.say)
        stack.callback(lambda: self.writers.close())
        self.metrics = LateMetrics()
        self.watchdog = stack.enter_context(Watchdog(config.train.stalled_after if jax.process_count() > 1 else 0))
        self._announce(restored)

    def fresh(self, initial: Callable[[jax.Array], State], key: jax.Array) -> State:
        """The state before the first step.

        On several devices each makes its own part, in one program. One device makes array after array: programs of a
        shape and an initializer serve all parameters alike, where the one of all takes twice as long to compile.
        """
        if jax.device_count() > 1:
            return jax.jit(initial, out_shardings=self.shardings)(key)
        return jax.device_put(initial(key), self.shardings)

    def _announce(self, restored: checkpoint.Restored | None) -> None:
        say, steps = self.progress.say, self.config.train.steps
        say(
            f"{self.json['system']['name']}: {totals(self.state, self.players)} (table in {self.workdir / 'model.txt'})"
        )
        say(f"{jax.device_count()} {jax.devices()[0].platform} device(s), mesh {dict(self.mesh.shape)}")
        if restored is None:
            say(f"Starting in {self.workdir}, {steps} steps.")
            for part in left_random(self.abstract["params"], self.system.stages(), self.config.train):
                say(f"  {part} has random weights that do not train: give it some by train.init_from or train.grafts")
            return
        say(f"Going on in {self.workdir} from step {self.start} of {steps}.")
        for line in differences(restored.config, self.json):
            say(f"  changed since the checkpoint: {line}")

    def go(self) -> int:
        """The loop."""
        config, step = self.config.train, self.start
        verdict = Verdict(self.stack.enter_context(Interrupt()), self.mesh)
        batches = self.batches(step)
        profiler = Profiler(config.profile, self.workdir / "profile", self.progress.say)
        self.stack.callback(profiler.close)
        while step < config.steps and not self.out_of_patience(step) and verdict.stop is None:
            profiler.before(step, self.state["step"])
            batch = self.next_batch(batches)
            self.utilisation.saw(self.state, batch)
            with jax.transfer_guard("disallow"), jax.profiler.StepTraceAnnotation("train", step_num=step):
                self.state, metrics = self.step(self.state, batch)
            step += 1
            self.watchdog.beat()
            verdict.after_step()
            try:
                with self.progress.waiting("device_wait"):
                    before = self.metrics.push(step, metrics)
                self.note(before)
                self.progress.advance()
                if step == self.start + 1:
                    self.first_step(step)
                if self.validation is not None and self.due(step, self.config.validation.every):
                    self.note(self.metrics.flush())
                    self.validate(step, self.validation)
                elif self.due(step, config.save_every):
                    self.save(step)
            except NotFiniteError as error:
                batches.close()
                step = self.roll_back(error)
                batches = self.batches(step)
        return self.finish(step, verdict.stop)

    def batches(self, step: int) -> Prefetch:
        """Global batches on the devices, from the one that step `step` of the run reads."""
        source = self.training.batches(step + self.skipped, self.own_rows)
        feed = Prefetch(source, lambda batch: mesh.put_batch(batch, self.rows))
        self.stack.callback(feed.close)
        return feed

    @property
    def skipped(self) -> int:
        """Batches that were left out after they blew the run up, or led to that."""
        return self.loop.get("skipped", 0)

    def roll_back(self, error: NotFiniteError) -> int:
        """Goes back to the newest checkpoint, and on with the batches after the bad one; returns its step.

        Raises:
            V2SError: that is not wanted, has been done too often, or there is no checkpoint.
        """
        done, most = self.loop.get("rollbacks", 0), self.config.train.rollbacks
        self.checkpoints.wait()
        if self.config.train.on_nonfinite == "stop" or done >= most or not self.checkpoints.steps():
            raise error
        reached = error.step + self.skipped  # the batch after the bad one
        del self.state
        restored = self.checkpoints.restore(self.abstract, self.json)
        if restored is None:
            raise error
        self.state, self.loop = restored.state, restored.loop
        step = self.training.check_state(self.loop["loader"]) - self.skipped
        self.loop |= {"rollbacks": done + 1, "skipped": reached - step}
        self.metrics = LateMetrics()
        self.writers.close()
        self.writers = Writers(self.workdir, step, self.progress.say)
        self.progress.rewind(step)
        self.progress.say(
            f"{error.what} Going back to step {step}, without the {error.step - step} batches since then "
            f"(rollback {done + 1} of at most {most})."
        )
        return step

    def next_batch(self, batches: Iterator) -> Any:
        """The next batch; the time it took counts as waiting for data."""
        with self.progress.waiting("data_wait"):
            return next(batches)

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
            NotFiniteError: a loss or gradient was not.
        """
        if entry is None:
            return
        step, values = entry
        if not values["finite"]:
            raise NotFiniteError(step, values.get("loss", float("nan")), self.checkpoints.steps())
        if step % self.config.train.log_every == 0 or step == self.config.train.steps:
            means = self.metrics.means()
            del means["finite"]
            speed = self.progress.report(step, means)
            self.writers.scalars(step, means | speed | self.utilisation.report(speed.get("steps_per_second")))

    def validate(self, step: int, loader: Loader) -> None:
        """Measures on the validation split, keeps the best and saves."""
        before = time.perf_counter()

        def put(batch: Any) -> Any:
            self.watchdog.beat()
            return mesh.put_batch(batch, self.rows)

        metrics, clips = validate.validate(
            self.losses,
            self.synthesize,
            evaluation_params(self.state),
            self.state["stats"],
            loader.epoch(self.own_rows),
            put,
            self.system.kind,
            self.config.validation,
        )
        self.watchdog.beat()
        self.writers.scalars(step, metrics)
        validate.show(clips, step, self.writers)
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
        self.loop["loader"] = self.training.state(step + self.skipped)
        complaint = self.checkpoints.save(step, self.state, self.loop, self.json, metric)
        if complaint:
            self.progress.say(f"{complaint} Training goes on; the next save tries again.")

    def finish(self, step: int, stop: signal.Signals | None) -> int:
        """Saves what is not saved, waits for the disk and says how the run ended.

        Raises:
            V2SError: the last save failed.
        """
        self.note(self.metrics.flush())
        complaint = self.checkpoints.wait()
        if step not in self.checkpoints.steps():
            self.loop["loader"] = self.training.state(step + self.skipped)
            complaint = self.checkpoints.save(step, self.state, self.loop, self.json) or self.checkpoints.wait()
        if step not in self.checkpoints.steps():
            raise V2SError(f"The run ended at step {step} without a checkpoint of it: {complaint}")
        if stop is not None:
            self.progress.say(f"Stopped by {stop.name} at step {step}, saved; the same command goes on from there.")
            return 128 + stop
        best = self.loop["best"]
        scored = "" if best is None else f"; best {self.config.train.best} {best:.4g} at step {self.loop['best_step']}"
        early = f", no better for {self.config.train.patience} steps" if step < self.config.train.steps else ""
        self.progress.say(f"Done at step {step}{early}{scored}. Checkpoints in {self.workdir / checkpoint.FOLDER}.")
        return 0
