import os
import threading
import time

import pytest

from v2s_jax.errors import BadClip
from v2s_jax.serving import limited
from v2s_jax.serving.limited import Gone, run_limited

NEVER = threading.Event()


def test_results_and_surprises_come_back():
    assert run_limited(divmod, (7, 2), 30, NEVER) == (3, 1)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run_limited(divmod, (7, 0), 30, NEVER)


def test_what_hangs_is_killed():
    start = time.monotonic()
    with pytest.raises(BadClip, match="took longer than 1 s to read and was given up"):
        run_limited(time.sleep, (60,), 1, NEVER)
    assert time.monotonic() - start < 20


def test_what_wants_too_much_memory_is_refused():
    with pytest.raises(BadClip, match="takes more than 4 GB of memory"):
        run_limited(bytearray, (limited.MEMORY + 1,), 30, NEVER)


def test_a_crash_is_the_files_fault():
    with pytest.raises(BadClip, match=r"crashed the process that read it \(SIGABRT\)"):
        run_limited(os.abort, (), 30, NEVER)


def test_nobody_waits_any_more():
    gone = threading.Event()
    threading.Timer(0.3, gone.set).start()
    with pytest.raises(Gone):
        run_limited(time.sleep, (60,), 60, gone)
