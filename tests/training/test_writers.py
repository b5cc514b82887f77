import json
import math
import os
import signal

import jax.numpy as jnp
import numpy as np
import pytest

from v2s_jax.errors import V2SError
from v2s_jax.training.defaults import default_config
from v2s_jax.training.feed import Prefetch
from v2s_jax.training.interrupt import Interrupt
from v2s_jax.training.precision import compute_dtype
from v2s_jax.training.writers import LateMetrics, Progress, Writers


def read(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_are_lines_of_json_and_what_was_written_past_a_resume_is_dropped(tmp_path):
    writers = Writers(tmp_path, 0, print)
    for step in (10, 20, 30):
        writers.scalars(step, {"loss": step / 10, "odd": math.inf})
    writers.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # a kill in the middle of a line
    writers = Writers(tmp_path, 20, print)
    writers.scalars(30, {"loss": 7.0})
    writers.close()
    assert [(line["step"], line["loss"]) for line in read(tmp_path)] == [(10, 1.0), (20, 2.0), (30, 7.0)]
    assert read(tmp_path)[0]["odd"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]


def test_pictures_and_sounds_reach_tensorboard_and_pictures_a_folder(tmp_path):
    writers = Writers(tmp_path, 0, print)
    writers.picture(1, 7, np.zeros((4, 5, 3), np.uint8))
    writers.sound(1, "sound", np.full(1600, 2.0, np.float32))
    writers.close()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"PNG" in stored and b"WAVE" in stored and b"mel/7" in stored
    assert (tmp_path / "pictures" / "00000001_7.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_come_one_step_late_and_means_start_anew():
    late = LateMetrics()
    assert late.push(1, {"loss": jnp.array(2.0)}) is None
    assert late.push(2, {"loss": jnp.array(4.0)}) == (1, {"loss": 2.0})
    assert late.flush() == (2, {"loss": 4.0}) and late.flush() is None
    assert late.means() == {"loss": 3.0}
    late.push(3, {"loss": jnp.array(9.0)})
    late.flush()
    assert late.means() == {"loss": 9.0}


def test_progress_says_rate_waiting_and_time_left(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    progress = Progress(start=10, total=1000)
    for kind, seconds in (("data_wait", 1), ("device_wait", 6)):
        with progress.waiting(kind):
            now[0] += seconds
    now[0] += 3
    shares = {"data_wait": 0.1, "device_wait": 0.6, "host": pytest.approx(0.3)}
    assert progress.report(30, {"loss": 0.5}) == {"steps_per_second": 2.0, **shares}
    assert capsys.readouterr().err == "step 30/1000: loss 0.5, 2 steps/s, data wait 10.0%, 8 min 5 s left\n"
    progress.restart(30)
    assert progress.report(30, {"loss": 0.5}) == {}


def test_prefetch_keeps_order_passes_errors_on_and_closes_its_source():
    closed = []

    def source():
        try:
            yield from range(3)
            raise V2SError("bad shard")
        finally:
            closed.append(True)

    feed = Prefetch(source(), lambda x: x * 10)
    assert [next(feed) for _ in range(3)] == [0, 10, 20]
    with pytest.raises(V2SError, match="bad shard"):
        next(feed)
    feed.close()
    assert closed == [True]


def test_prefetch_can_be_closed_while_its_source_is_endless():
    feed = Prefetch(iter(int, 1), lambda x: x)
    assert next(feed) == 0
    feed.close()
    assert not feed._thread.is_alive()


def test_first_signal_is_noted_and_a_second_interrupt_ends_at_once(capfd):
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        assert interrupt.signal is None
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before
    assert "SIGINT: finishing this step" in capfd.readouterr().err


def test_precision_is_float32_or_bfloat16():
    config = default_config().precision
    assert compute_dtype(config) == jnp.float32
    config.compute = "bfloat16"
    assert compute_dtype(config) == jnp.bfloat16
    config.compute = "float16"
    with pytest.raises(V2SError, match="known are float32, bfloat16"):
        compute_dtype(config)
