"""Files that grow by whole records, whatever the disk does."""

import os
from collections.abc import Callable
from pathlib import Path

_MOST = 2**25  # bytes that may wait


class Appender:
    """Adds records to a file's end. Those that a full disk refuses wait for the next one, up to 32 MB of them.

    Args:
        path: of the file, which is made with the first record.
        say: is told once that the disk refuses, and once that it no longer does.
    """

    def __init__(self, path: str | os.PathLike, say: Callable[[str], None]):
        self._path, self._say = Path(path), say
        self._file: int | None = None
        self._waiting, self._refused = b"", False

    def add(self, record: bytes) -> None:
        """Writes what waits and this record; either all of it is in the file, or nothing."""
        if len(self._waiting) + len(record) <= _MOST:
            self._waiting += record
        try:
            self._write(self._waiting)
        except OSError as error:
            if not self._refused:
                self._say(f"{self._path} cannot be written ({error.strerror}). Training goes on; what is for it waits.")
            self._refused = True
            return
        if self._refused:
            self._say(f"{self._path} is written again.")
        self._waiting, self._refused = b"", False

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        size, view = os.fstat(self._file).st_size, memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def close(self) -> None:
        """Closes the file; what waits is lost."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
