"""The strict rig: rank promotion raises, warnings are errors (pyproject), shapes are checked (jaxtyping + beartype)."""

import fcntl
import gc
import importlib.metadata
import os
from collections.abc import Callable
from pathlib import Path

# Most of the suite's time is compilation: LLVM's optimisations are left out, XLA's own are not; code is generated in
# one piece, since the other core has tests of its own; and the emitter of fusions that prepares a pipeline of MLIR
# passes for each gives way to the older one in the last jaxlib to have it. Before jax starts: it ends at unknown flags.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_cpu_use_fusion_emitters=false" * importlib.metadata.version("jaxlib").startswith("0.10."),
    ]
).strip()

if os.environ.get("PYTEST_XDIST_WORKER_COUNT") == str(os.cpu_count()) and hasattr(os, "sched_setaffinity"):
    # As many workers as cores: threads of one would only take turns with the other's.
    os.sched_setaffinity(0, {int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))})

import jax
import pytest

gc.disable()  # until the tests are imported, too
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow ones first: a worker that begins one when the others run out of tests makes all wait for it."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported stays, so the garbage collector need not look through it again and again: a twelfth of all."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(scope="session")
def talker_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 3 s clip with sound of a synthetic talker who says a GRID sentence."""
    from data_pipelines.talker.render import render_clip

    path = tmp_path_factory.mktemp("talker_clip") / "bbaf2n.mp4"
    render_clip(path, identity=1, sentence="bbaf2n", seed=0)
    return path


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """`shared(name, make)`: a path that the first worker to ask has `make(path)` make, and the others wait for."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def shared(name: str, make: Callable[[Path], object]) -> Path:
        path, done = folder / "shared" / name, folder / "shared" / f"{name}.done"
        path.parent.mkdir(exist_ok=True)
        with open(f"{path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(path)
                done.touch()
        return path

    return shared


@pytest.fixture(scope="session")
def talker_tree(shared: Callable) -> Path:
    """A corpus in GRID's layout: 2 synthetic speakers with 3 clips each, one of which is free text."""
    from data_pipelines.talker.generate import generate

    options = dict(identities=(0, 1), clips_per_identity=3, seed=0, free_share=0.34, workers=0)
    return shared("talker_tree", lambda out: generate(out, **options))


@pytest.fixture(scope="session")
def talker_data(talker_tree: Path, shared: Callable) -> Path:
    """`talker_tree` as a prepared data set; all its clips are in the split `train`."""
    from data_pipelines.talker.corpus import corpus
    from v2s_jax.data.prepare import prepare

    return shared("talker", lambda out: prepare(corpus, talker_tree, out))


@pytest.fixture(scope="session")
def talker_tokens(talker_data: Path, shared: Callable) -> Path:
    """`talker_data` with embeddings of speakers and faces, and units, clusters of MFCCs fitted on it."""
    from v2s_jax import cli

    def make(out: Path) -> None:
        options = ["--units", "mfcc", "--clusters", "7", "--seed", "3", "--jobs", "1"]
        options += ["--speaker-encoder", "voices-ge2e", "--face-encoder", "dlib"]
        assert cli.main(["prepare", "tokens", "--data", str(talker_data), "--out", str(out), *options]) == 0

    return shared("tokens", make)


@pytest.fixture(scope="session")
def talker_drafts(talker_tokens: Path, shared: Callable) -> Path:
    """`talker_tokens` with drafts that nobody could better: the true mels."""
    import numpy as np

    from v2s_jax.data.tokens import Tagger, add_tokens
    from v2s_jax.features.mel import log_mel

    draft = Tagger("draft", {}, lambda record: log_mel(record.audio).astype(np.float16))
    return shared("drafts", lambda out: add_tokens(talker_tokens, out, [draft]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """In CI a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr}"
    return report
