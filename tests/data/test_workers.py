"""Functions handed to workers are importable ones of the standard library, since test modules are not."""

import functools
import operator
import os
import signal
import time

import pytest

from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import V2SError


def outcomes(function, items, jobs, **options) -> dict:
    return dict(run_isolated(function, items, jobs, **options))


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_gets_its_result(jobs):
    assert outcomes(abs, range(-5, 5), jobs) == {item: abs(item) for item in range(-5, 5)}


def test_no_items_no_results():
    assert outcomes(abs, [], 2) == {}


def test_an_error_costs_its_item_alone():
    results = outcomes(functools.partial(operator.truediv, 6), [1, 0, 2], 1)
    assert results[1] == 6 and results[2] == 3
    assert results[0].reason == "unexpected ZeroDivisionError: division by zero"
    assert "Traceback" in results[0].details


def test_a_mistake_of_the_user_is_its_sentence():
    from v2s_jax.data.metadata import read_metadata

    result = outcomes(read_metadata, ["no_such_folder"], 1)["no_such_folder"]
    assert isinstance(result, Failure) and "not a prepared data set" in result.reason and not result.details
    assert issubclass(V2SError, Exception)


def test_workers_leave_accelerators_alone():
    assert outcomes(os.getenv, ["JAX_PLATFORMS"], 1) == {"JAX_PLATFORMS": "cpu"}


def test_a_crash_costs_its_item_alone():
    results = outcomes(os._exit, [3, 4], 2)
    assert {item: result.reason for item, result in results.items()} == {
        3: "crashed the process that read it (exit status 3)",
        4: "crashed the process that read it (exit status 4)",
    }


def test_work_goes_on_after_a_crash():
    results = outcomes(signal.raise_signal, [signal.SIGUSR1, 0, 0.5, signal.SIGKILL, signal.SIGCONT], 1)
    assert results[signal.SIGUSR1].reason.endswith("(SIGUSR1)") and results[signal.SIGKILL].reason.endswith("(SIGKILL)")
    assert results[signal.SIGCONT] is None  # a signal that does nothing


def test_a_hanging_item_is_given_up():
    start = time.monotonic()
    results = outcomes(time.sleep, [60, 0.01], 2, timeout=1.0)
    assert results[60].reason == "took longer than 1 s and was given up"
    assert results[0.01] is None
    assert time.monotonic() - start < 30


def test_items_may_be_given_different_times():
    results = outcomes(time.sleep, [60.5, 1.5], 2, timeout=lambda seconds: 1.0 if seconds > 60 else 60.0)
    assert results[60.5].reason == "took longer than 1 s and was given up" and results[1.5] is None


def test_closing_early_leaves_no_process():
    import multiprocessing

    running = run_isolated(time.sleep, [0.0, 60, 60], 2)
    next(running)
    running.close()
    assert not multiprocessing.active_children()
