"""Files that appear whole or not at all, and the folders they go to."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from v2s_jax.errors import V2SError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file to write that takes the name `path` once the block has ended without an error.

    Until then it has a temporary name in the same folder; on any error that file is removed and whatever was at `path`
    stays as it was.

    Raises:
        V2SError: the file cannot be written (no such folder, no permission, full disk).
    """
    path = Path(path)
    temporary: str | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False) as file:
            temporary = file.name
            yield file
            file.flush()
            # mkstemp makes files private; the umask decides as for any other file.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise V2SError(
            f"{path}: cannot be written ({error.strerror or error}); check the folder, its permissions and free space"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, unless it is there.

    Raises:
        V2SError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise V2SError(
            f"{folder}: the folder cannot be made ({error.strerror}); name one that can be written to"
        ) from error
