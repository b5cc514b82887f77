"""Clips to staged records by the workers of Apache Beam: Direct on one machine, Flink, Spark or Dataflow on many.

Nothing but names goes through the pipeline. A worker takes some clips, stages their records in `OUT`, which all
machines have mounted at the same path, and leaves there what came of them; the driver watches that. So a bundle that
Beam tries twice writes the same files twice, each whole, and every clip is in the data set once.
"""

import contextlib
import json
import pickle
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing

BUNDLE = 16  # clips to one start of a process that reads them
_SHORT = {"direct": "DirectRunner", "dataflow": "DataflowRunner", "flink": "FlinkRunner", "spark": "SparkRunner"}


def beam_options(runner: str, options: str, jobs: int) -> Any:
    """Beam's `PipelineOptions`.

    Args:
        runner: `direct`, `dataflow`, `flink`, `spark`, or Beam's own name of another.
        options: as on a command line, such as `--project=P --region=R`.
        jobs: bundles at once, of `direct`.

    Raises:
        V2SError: Beam is not installed.
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise V2SError("prepare --runner needs Apache Beam; pip install 'v2s-jax[beam]'") from error
    flags = [f"--runner={_SHORT.get(runner.lower(), runner)}"]
    if runner.lower() == "direct":
        flags += ["--direct_running_mode=multi_threading", f"--direct_num_workers={jobs}"]
    return PipelineOptions([*flags, *shlex.split(options)])


def run_on_beam(
    write: Callable[[Any, Any], tuple[str, ...]],
    extract: Callable[[Any], Any],
    tasks: Sequence[Any],
    folder: Path,
    options: Any,
    timeout: float | int,
) -> Iterator[tuple[Any, tuple[str, ...] | Failure]]:
    """Applies `extract` to every task on Beam's workers; yields (task, warnings or Failure) as they finish.

    Args:
        write: puts a task's result in its place, on the worker, and returns its warnings; picklable.
        extract: picklable; what it raises becomes a Failure, a clip that crashes its process too.
        tasks: picklable.
        folder: new, in `OUT`; for what the workers leave.
        options: `beam_options`.
        timeout: seconds after which a task is given up.

    Raises:
        V2SError: the runner failed, or its workers do not write to this machine's `OUT`.
    """
    if not tasks:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    bundles = [tasks[start : start + BUNDLE] for start in range(0, len(tasks), BUNDLE)]
    payloads = [
        pickle.dumps((write, extract, bundle, str(folder / f"{number}.json"), timeout))
        for number, bundle in enumerate(bundles)
    ]
    waiting = set(range(len(bundles)))
    with _running(payloads, options) as pipeline:
        while waiting:
            ended = pipeline.ended  # asked first: what is there once it has ended was written before
            for number in sorted(waiting):
                if (path := folder / f"{number}.json").exists():
                    waiting.remove(number)
                    yield from _read(path, bundles[number])
            if waiting and ended:
                raise V2SError(pipeline.trouble(folder))
            time.sleep(0.2 if waiting else 0)


class _Pipeline(threading.Thread):
    """The pipeline, run beside the thread that watches what it leaves: some runners return only when all is done."""

    def __init__(self, payloads: Sequence[bytes], options: Any):
        super().__init__(name="beam", daemon=True)
        self.payloads, self.options = payloads, options
        self.error: Exception | None = None
        self.result: Any = None

    def run(self) -> None:
        import apache_beam as beam

        try:
            pipeline = beam.Pipeline(options=self.options)
            _ = pipeline | beam.Create(self.payloads) | beam.Reshuffle() | beam.Map(stage_bundle)
            self.result = pipeline.run()
            self.result.wait_until_finish()
        except Exception as error:
            self.error = error

    @property
    def ended(self) -> bool:
        return not self.is_alive()

    def trouble(self, folder: Path) -> str:
        if self.error is not None:
            said = str(self.error).strip().splitlines() or [type(self.error).__name__]
            return f"the Beam runner failed: {said[0]}; records staged so far are kept, run the command again"
        return f"Beam's workers left nothing in {folder}: --out must be a folder that all of them have mounted there"


@contextlib.contextmanager
def _running(payloads: Sequence[bytes], options: Any) -> Iterator[_Pipeline]:
    """The pipeline, cancelled where its runner can be if the block is left early."""
    pipeline = _Pipeline(payloads, options)
    pipeline.start()
    try:
        yield pipeline
        pipeline.join()
    finally:
        if pipeline.is_alive() and pipeline.result is not None:
            with contextlib.suppress(Exception):
                pipeline.result.cancel()


def stage_bundle(payload: bytes) -> None:
    """What a worker does with one element: stages the bundle's records and says what came of each."""
    write, extract, tasks, path, timeout = pickle.loads(payload)
    places = {id(task): number for number, task in enumerate(tasks)}
    outcomes: list[dict[str, Any]] = [{}] * len(tasks)
    with contextlib.closing(run_isolated(extract, tasks, 1, timeout)) as results:
        for task, result in results:
            failed = isinstance(result, Failure)
            said = {"reason": result.reason, "details": result.details} if failed else {"warnings": write(task, result)}
            outcomes[places[id(task)]] = said
    with replacing(path) as file:
        file.write(json.dumps(outcomes).encode())


def _read(path: Path, tasks: Sequence[Any]) -> Iterator[tuple[Any, tuple[str, ...] | Failure]]:
    for task, said in zip(tasks, json.loads(path.read_bytes()), strict=True):
        yield task, Failure(**said) if "reason" in said else tuple(said["warnings"])
