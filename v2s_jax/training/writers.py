"""Where a run's numbers, pictures and sounds go: `metrics.jsonl`, TensorBoard, the console. Only process 0 writes."""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import make_folder, replacing
from v2s_jax.training.appender import Appender
from v2s_jax.training.board import Board


class Writers:
    """Metrics and pictures of one workdir. What a full disk refuses is said, and does not end the run.

    Args:
        workdir: the run's folder, which exists.
        start_step: step the run begins or goes on at; what an interrupted run wrote beyond it is dropped.
        say: is told what cannot be written.
    """

    def __init__(self, workdir: str | os.PathLike, start_step: int, say: Callable[[str], None]):
        self._active = jax.process_index() == 0
        if self._active:
            self._workdir, self._say = Path(workdir), say
            metrics = self._workdir / "metrics.jsonl"
            _cut_after(metrics, start_step)
            self._lines = Appender(metrics, say)
            self._board = Board(self._workdir / "tensorboard", start_step, say)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One line of JSON (numbers that are not finite as null) and the same to TensorBoard."""
        if self._active:
            finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
            line = json.dumps({"step": step, "time": round(time.time(), 3)} | finite)
            self._lines.add(f"{line}\n".encode())
            for name, value in values.items():
                self._board.scalar(step, name, value)

    def picture(self, step: int, number: int, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """A picture to TensorBoard, as `mel/NUMBER`, and to `pictures/STEP_NUMBER.png`."""
        if self._active:
            from PIL import Image

            self._board.picture(step, f"mel/{number}", picture)
            path = self._workdir / "pictures" / f"{step:08d}_{number}.png"
            try:
                make_folder(path.parent)
                with replacing(path) as file:
                    Image.fromarray(picture).save(file, "PNG")
            except V2SError as error:
                self._say(f"{error}. Training goes on without this picture.")

    def sound(self, step: int, name: str, wave: Float[np.ndarray, "n"]) -> None:
        """A waveform in [-1, 1] at 16 kHz to TensorBoard."""
        if self._active and len(wave):
            self._board.sound(step, name, np.clip(wave, -1, 1), SAMPLE_RATE)

    def close(self) -> None:
        """Closes all files."""
        if self._active:
            self._lines.close()
            self._board.close()


def _cut_after(path: Path, step: int) -> None:
    """Cuts a file of lines in the order of their steps before one of a later step, or cut short by a kill."""
    if not path.exists():
        return
    size = 0
    with path.open("rb") as lines:
        for line in lines:
            if not _is_until(line, step):
                break
            size += len(line)
    os.truncate(path, size)


def _is_until(line: bytes, step: int) -> bool:
    """Whether it is a whole line of this step or an earlier one."""
    try:
        return line.endswith(b"\n") and json.loads(line)["step"] <= step
    except (ValueError, KeyError):
        return False


class LateMetrics:
    """Device metrics read one step late, so that the host never waits for the step it has just started."""

    def __init__(self) -> None:
        self._pending: tuple[int, Any] | None = None
        self._sums: dict[str, float] = {}
        self._count = 0

    def push(self, step: int, metrics: Any) -> tuple[int, dict[str, float]] | None:
        """Takes this step's metrics and returns those of the step before, as floats."""
        earlier, self._pending = self._pending, (step, metrics)
        return self._read(earlier)

    def flush(self) -> tuple[int, dict[str, float]] | None:
        """Waits for the last step and returns its metrics."""
        earlier, self._pending = self._pending, None
        return self._read(earlier)

    def _read(self, entry: tuple[int, Any] | None) -> tuple[int, dict[str, float]] | None:
        if entry is None:
            return None
        values = {name: float(value) for name, value in jax.device_get(entry[1]).items()}
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        return entry[0], values

    def means(self) -> dict[str, float]:
        """Means over the steps read since the last call."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means


class Progress:
    """Progress on stderr: a bar on a terminal, lines otherwise; rate, share of time spent waiting for data, time left.

    Args:
        start: steps done before.
        total: steps of the whole run.
    """

    def __init__(self, start: int, total: int):
        self._total, self._active = total, jax.process_index() == 0
        self._bar = None
        if self._active and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=start, unit="step", file=sys.stderr, dynamic_ncols=True)
        self.restart(start)

    def restart(self, step: int) -> None:
        """Begins measuring anew (after compiling, or a validation)."""
        self._since, self._first = time.perf_counter(), step
        self._waited = {"data_wait": 0.0, "device_wait": 0.0}

    def rewind(self, step: int) -> None:
        """Goes back to an earlier step."""
        if self._bar is not None:
            self._bar.reset(self._total)
            self._bar.update(step)
        self.restart(step)

    def elapsed(self) -> float:
        """Seconds since measuring began."""
        return max(time.perf_counter() - self._since, 1e-9)

    @contextlib.contextmanager
    def waiting(self, kind: str) -> Iterator[None]:
        """Counts the time of the block as `data_wait`, for a batch, or `device_wait`, for the step before to end."""
        before = time.perf_counter()
        yield
        self._waited[kind] += time.perf_counter() - before

    def advance(self) -> None:
        """One step more on the bar."""
        if self._bar is not None:
            self._bar.update()

    def report(self, step: int, means: Mapping[str, float]) -> dict[str, float]:
        """Shows where the run is, and returns the rate and where the time went for the log.

        `host` is the share in which neither a batch nor the device was waited for: Python, and what it writes.
        """
        elapsed = self.elapsed()
        rate, shares = (step - self._first) / elapsed, {kind: took / elapsed for kind, took in self._waited.items()}
        words = ", ".join(f"{name} {value:.4g}" for name, value in means.items() if name.startswith("loss"))
        if rate:
            left = _duration((self._total - step) / rate)
            words += f", {rate:.3g} steps/s, data wait {shares['data_wait']:.1%}, {left} left"
        if self._bar is not None:
            self._bar.set_postfix_str(words)
        elif self._active:
            print(f"step {step}/{self._total}: {words}", file=sys.stderr, flush=True)
        return {"steps_per_second": rate, **shares, "host": 1 - sum(shares.values())} if rate else {}

    def say(self, message: str) -> None:
        """A message that does not tear the bar."""
        if self._active:
            tqdm.write(message, file=sys.stderr) if self._bar is not None else print(
                message, file=sys.stderr, flush=True
            )

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {int(seconds) % 60} s"
