"""Where compiled programs are kept from one run to the next, and which of them a run will need."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from v2s_jax.constants import MEL_PER_FRAME, VIDEO_FPS
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.media.video import probe
from v2s_jax.synthesis.jobs import Job
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.synthesis.vocoder import CHUNK, batching, longest_chunk

OFF = "off"
_PROBED = 64  # clips whose length is looked up before they are read; of more of them any length is expected


def default_folder() -> Path:
    """Of this user alone: what is in it is run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "v2s_jax" / "compiled"


def keep_compiled(choice: str | None) -> None:
    """Keeps compiled programs in a folder, unless jax was told of one already.

    Args:
        choice: the folder, "off", or None for the default one, which is done without where it cannot be made.

    Raises:
        V2SError: the folder named cannot be made.
    """
    config: Any = jax.config
    if choice == OFF or (choice is None and config.jax_compilation_cache_dir):
        return
    folder = Path(choice) if choice else default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        if choice:
            raise V2SError(f"{folder}: the folder cannot be made ({error.strerror}); name one, or {OFF}") from error
        return
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def expected_frames(jobs: Sequence[Job]) -> set[int] | None:
    """The lengths of clips and records as far as they can be told without reading them, None if they cannot."""
    clips = [job for job in jobs if not job.split]
    if len(clips) > _PROBED:
        return None
    frames = set()
    for folder, split in {(job.source, job.split) for job in jobs if job.split}:
        lengths = ShardedDataset(folder, split).lengths
        chosen = [job.index for job in jobs if (job.source, job.split) == (folder, split)]
        frames |= set(lengths[chosen].tolist())
    for job in clips:
        try:
            duration = probe(job.source).duration
        except BadClip:
            continue
        if not duration:
            return None
        frames.add(max(1, round(VIDEO_FPS * duration)))
    return frames


class Ahead:
    """The programs that a run needs, compiled while it begins to read.

    Args:
        synthesizer: whose.
        frames: lengths to expect; None: any.

    Attributes:
        rungs: lengths of the network's batches: those compiled ahead and, should a clip be longer than it seemed, what
            is above them.
        vocoder_rungs: of the vocoder's, likewise; none if it does not compile.
        programs: how many are compiled ahead.
        seconds: from the beginning until they were.
    """

    def __init__(self, synthesizer: Synthesizer, frames: set[int] | None):
        ladder, window = synthesizer.network.rungs, synthesizer.network.rungs[-1]
        lengths = set(range(1, CHUNK)) if frames is None else frames
        chosen = _needed(ladder, {min(n, window) for n in lengths})
        vocoder_ladder, _, _ = batching(synthesizer.vocoder)
        sounded = lengths if synthesizer.kind == "mel" and vocoder_ladder else set()
        voiced = _needed(vocoder_ladder, {longest_chunk(MEL_PER_FRAME * n) for n in sounded})
        self.rungs, self.vocoder_rungs = _with_longer(chosen, ladder), _with_longer(voiced, vocoder_ladder)
        self.programs, self.seconds = len(chosen) + len(voiced), 0.0
        vocoder: Any = synthesizer.vocoder
        # The longest first: they take longest.
        self._calls = [[(synthesizer.compile, rung) for rung in reversed(chosen)]]
        self._calls.append([(vocoder.compile, rung) for rung in reversed(voiced)])
        self._given_up = threading.Event()
        self._threads = [threading.Thread(target=self._each, args=(calls,)) for calls in self._calls]

    def __enter__(self) -> "Ahead":
        self._start = time.perf_counter()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up.set()
        for thread in self._threads:
            thread.join()

    def wait(self) -> None:
        """Returns when all of them are compiled."""
        for thread in self._threads:
            thread.join()

    def _each(self, calls: list[tuple[Callable[[int], None], int]]) -> None:
        for compile, rung in calls:
            if self._given_up.is_set():
                return
            try:
                compile(rung)
            except Exception:
                return  # the run meets it again, where there is somebody to tell
            self.seconds = max(self.seconds, time.perf_counter() - self._start)


def _needed(ladder: Sequence[int], lengths: set[int]) -> list[int]:
    """The rungs that these lengths take, ascending."""
    return sorted({next(rung for rung in ladder if rung >= n) for n in lengths})


def _with_longer(chosen: list[int], ladder: Sequence[int]) -> tuple[int, ...]:
    return (*chosen, *(rung for rung in ladder if rung > max(chosen, default=0)))
