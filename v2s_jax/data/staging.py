"""The last steps of every data set: one writer at a time, shards from staged records, and all files in place at once.

Records are staged as files below `OUT/.staging`. A TFDS builder turns them into shards in `OUT/.staging/build`; the
files then move up into OUT, `v2s.json` last, and the staging goes.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from v2s_jax.data.metadata import METADATA_FILE, write_metadata
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing

STAGING = ".staging"
SKIPPED_FILE = "skipped.jsonl"
WARNINGS_FILE = "warnings.jsonl"


@runtime_checkable
class Described(Protocol):
    """What a data set says of its origin; a `Corpus` does."""

    @property
    def name(self) -> str:
        """Of the corpus."""
        ...

    @property
    def description(self) -> str:
        """One or two sentences."""
        ...

    @property
    def citation(self) -> str:
        """How to cite it, or ""."""
        ...


def publish(
    corpus: Described,
    staged: Mapping[str, Sequence[Path]],
    out: Path,
    recipe: Mapping[str, Any],
    notes: Mapping[str, Sequence[dict]],
    shard_megabytes: int = 128,
) -> None:
    """Makes the data set `out` of staged records.

    Args:
        corpus: where the records come from.
        staged: files of serialised records, by split; no split empty.
        out: the data set's folder; its staging goes.
        recipe: for the metadata.
        notes: lines of JSON by the name of the file that they go to; none is written without lines.
        shard_megabytes: about the most, of a file.
    """
    from v2s_jax.data.builder import build
    from v2s_jax.data.sheet import contact_sheet

    work = out / STAGING / "build"
    shutil.rmtree(work, ignore_errors=True)
    folder, metadata = build(corpus, staged, work, shard_megabytes)
    write_metadata(folder, dataclasses.replace(metadata, recipe=dict(recipe)))
    if any(split.fields.get("mouth") for split in metadata.splits.values()):
        contact_sheet(folder, folder / "contact_sheet.png")
    for name, lines in notes.items():
        if lines:
            with replacing(folder / name) as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    names = sorted(path.name for path in folder.iterdir() if path.name != METADATA_FILE)
    for name in [*names, METADATA_FILE]:  # a reader takes the folder for a data set once v2s.json is there
        os.replace(folder / name, out / name)
    shutil.rmtree(out / STAGING)


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """One run at a time on `out`; the lock goes with the process, however it ends.

    Raises:
        V2SError: another run has it.
    """
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise V2SError(f"another v2s-jax prepare is working on {out}; wait for it or give another --out") from error
    finally:
        os.close(folder)


@contextlib.contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Turns what can go wrong while writing `out` into one sentence.

    Raises:
        V2SError: it cannot be written, is no folder but a URL, or its disk is full.
    """
    if re.match(r"[a-z][a-z0-9]+:/", str(out)):
        raise V2SError(f"{out} is a URL, and data sets go to folders; mount its bucket and name the folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(out))
        yield
    except (OSError, RuntimeError, ValueError) as error:
        code = getattr(error, "errno", None)
        # ArrayRecord's writer reports the system's error inside a message of its own.
        if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            sentence = f"the disk of {out} is full; free some and run the command again, it goes on where it stopped"
        elif code in (errno.EACCES, errno.EROFS, errno.EPERM, errno.EEXIST, errno.ENOTDIR):
            sentence = f"cannot write to {out} ({os.strerror(code)}); give a folder that can be written with --out"
        else:
            raise
        raise V2SError(sentence) from error
