"""Tasks in the order they came, one at a time, in a private folder from which everything goes again."""

import dataclasses
import queue
import secrets
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from v2s_jax.errors import V2SError
from v2s_jax.serving.limited import Gone
from v2s_jax.serving.offers import Offer

KEEP = 900.0  # seconds after which a result that nobody fetched goes
_SWEEP = 5.0  # seconds between looks at what is too old
_STOPPING = 10.0  # seconds that ending waits for the task in work


class Full(V2SError):
    """So many tasks wait already that another one is refused."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """What somebody asked for.

    Attributes:
        offer: the model.
        clip: the file that was sent.
        name: the sender's name for it.
        face: which of several, None for the steadiest largest.
        evaluations: of the decoder, None for the model's own number.
        voice: a recording of the voice to speak in.
    """

    offer: Offer
    clip: Path
    name: str
    face: int | None = None
    evaluations: int | None = None
    voice: Path | None = None


@dataclasses.dataclass(eq=False)
class Task:
    """A wish and how far it is.

    Attributes:
        id: nobody guesses it.
        folder: of its files, which go with it.
        wish: None while it is being sent.
        state: sending, waiting, reading, compiling, speaking, writing, done or failed.
        error: the sentence of a failed one.
        facts: of a done one.
        ended: when it was done or failed, in seconds of `time.monotonic`.
        gone: set once nobody wants it any more.
    """

    id: str
    folder: Path
    wish: Wish | None = None
    state: str = "sending"
    error: str | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    ended: float | None = None
    gone: threading.Event = dataclasses.field(default_factory=threading.Event)

    def enter(self, state: str) -> None:
        """Goes on to a state.

        Raises:
            Gone: nobody wants it any more.
        """
        if self.gone.is_set():
            raise Gone
        self.state = state


class Desk:
    """Takes tasks and works on one at a time; to be used as a context. Calls from several threads are safe.

    Args:
        work: does what a task wishes, or raises a V2SError.
        places: tasks that may be unfinished at once; so many finished ones, too, wait to be fetched.
        keep: seconds for which a finished one is kept.
    """

    def __init__(self, work: Callable[[Task], None], places: int = 4, keep: float | int = KEEP):
        self._work, self.places, self._keep = work, places, keep
        self._tasks: dict[str, Task] = {}
        self._lock = threading.Lock()
        self._current: Task | None = None
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="desk", daemon=True)

    def __enter__(self) -> "Desk":
        self.folder = Path(tempfile.mkdtemp(prefix="v2s-serve-"))  # for this user alone
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for id in list(self._tasks):
            self.forget(id)
        self._queue.put(None)
        self._thread.join(_STOPPING)
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self) -> Task:
        """A new task with a folder, its files yet to be sent.

        Raises:
            Full: no place is free.
        """
        self.sweep()
        task_id = secrets.token_urlsafe(16)
        with self._lock:
            if sum(task.ended is None for task in self._tasks.values()) >= self.places:
                raise Full(f"{self.places} clips are being worked on already; try again in a minute")
            task = self._tasks[task_id] = Task(task_id, self.folder / task_id)
            task.folder.mkdir(mode=0o700)
        return task

    def put(self, task: Task) -> None:
        """Lets a task wait for its turn."""
        task.state = "waiting"
        self._queue.put(task)

    def find(self, task_id: str) -> Task | None:
        """The task, unless it never was or is gone."""
        with self._lock:
            return self._tasks.get(task_id)

    def before(self, task: Task) -> int:
        """How many tasks come before it."""
        with self._lock:
            unfinished = [other for other in self._tasks.values() if other.ended is None and other.wish]
            return unfinished.index(task) if task in unfinished else 0

    def forget(self, task_id: str) -> bool:
        """Ends a task and deletes its files, those of the one in work as soon as that lets go; False if it is gone."""
        with self._lock:
            task = self._tasks.pop(task_id, None)
            if task is None:
                return False
            task.gone.set()
            if task is not self._current:
                shutil.rmtree(task.folder, ignore_errors=True)
            return True

    def sweep(self) -> None:
        """Forgets what was finished too long ago, and the oldest results beyond the places for them."""
        now = time.monotonic()
        with self._lock:
            ended = [(task.ended, task.id) for task in self._tasks.values() if task.ended is not None]
        ended.sort()
        for number, (when, task_id) in enumerate(ended):
            if now - when > self._keep or number < len(ended) - self.places:
                self.forget(task_id)

    def _serve(self) -> None:
        while True:
            try:
                task = self._queue.get(timeout=_SWEEP)
            except queue.Empty:
                self.sweep()
                continue
            if task is None:
                return
            with self._lock:
                if task.gone.is_set():
                    continue
                self._current = task
            outcome = self._tried(task)
            with self._lock:
                self._current = None
                if task.gone.is_set() or outcome == "failed":
                    shutil.rmtree(task.folder, ignore_errors=True)
                task.state, task.ended = outcome, time.monotonic()

    def _tried(self, task: Task) -> str:
        try:
            self._work(task)
            return "done"
        except Gone:
            pass
        except V2SError as error:
            task.error = str(error)
        except Exception as error:
            traceback.print_exc()
            task.error = f"unexpected {type(error).__name__}; the terminal of v2s-jax serve has the details"
        return "failed"
