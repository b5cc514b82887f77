"""`manifest.jsonl`: what became of every clip, a line each, written as soon as it is known."""

import json
from pathlib import Path
from typing import IO, Any

from v2s_jax.data.metadata import METADATA_FILE
from v2s_jax.errors import V2SError
from v2s_jax.media.atomic import replacing
from v2s_jax.synthesis.jobs import Job, Wanted, output_paths

Entry = dict[str, Any]
NAME, FAILED = "manifest.jsonl", "failed.txt"


class Manifest:
    """The manifest of an output folder, to be used in a `with` block.

    Args:
        out: the folder.
        kept: entries of an earlier run that stay.
        part: number, from 1, and count of the processes that share the folder; each writes its own manifest.

    Raises:
        V2SError: it cannot be written.
    """

    def __init__(self, out: Path, kept: list[Entry], part: tuple[int, int] = (1, 1)):
        mark = "" if part == (1, 1) else f"-{part[0]}-of-{part[1]}"
        self.path, self.failed = (out / name.replace(".", f"{mark}.") for name in (NAME, FAILED))
        self.failures: list[tuple[str, str]] = []
        # Rewritten whole once, then appended to: a run killed in the middle of a line loses that line only.
        with replacing(self.path) as file:
            for entry in kept:
                file.write(_line(entry))
        try:
            self._file: IO[bytes] = open(self.path, "ab", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, entry: Entry) -> None:
        """Appends one entry.

        Raises:
            V2SError: it cannot be written.
        """
        if entry["status"] != "ok":
            self.failures.append((entry["source"], entry["error"]))
        self._append(entry)

    def finish(self, summary: Entry | None = None) -> None:
        """Writes the clips that failed, with the reason of each, to `failed.txt`; no failure, no file.

        Args:
            summary: of the run, which becomes the manifest's last line.
        """
        if summary is not None:
            self._append({"summary": summary})
        path = self.failed
        if not self.failures:
            path.unlink(missing_ok=True)
            return
        with replacing(path) as file:
            for source, error in self.failures:
                file.write(f"{source}\t{error}\n".encode())

    def _append(self, entry: Entry) -> None:
        try:
            self._file.write(_line(entry))
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> V2SError:
        return V2SError(f"{self.path}: cannot be written ({error.strerror}); check permissions and free space")


def done_before(out: Path, jobs: list[Job], made_by: Entry, wanted: Wanted) -> dict[str, Entry]:
    """Entries, by name, of clips that an earlier run finished, in whatever parts, and that would come out the same.

    Args:
        out: the output folder.
        jobs: the clips of this run.
        made_by: what an entry must agree with, such as the model's fingerprint.
        wanted: the files that must be there.
    """
    manifests = sorted(out.glob(NAME.replace(".", "*.")), key=lambda path: path.stat().st_mtime)
    found = {entry["id"]: entry for path in manifests for entry in _read(path)}
    done = {}
    for job in jobs:
        entry = found.get(job.name, {})
        outputs = output_paths(out, job, wanted)
        asked = {"status": "ok"} | made_by | source_facts(job)
        if all(entry.get(key) == value for key, value in asked.items()) and _whole(outputs, entry):
            done[job.name] = entry
    return done


def _whole(outputs: dict[str, Path], entry: Entry) -> bool:
    """Whether the files are there, as long as they were written."""
    sizes = entry.get("bytes", {})
    return all(path.is_file() and path.stat().st_size == sizes.get(kind) for kind, path in outputs.items())


def source_facts(job: Job) -> Entry:
    """What identifies a clip's file, or a data set's: another size or time of change, and it is spoken again."""
    facts: Entry = {"id": job.name, "source": str(job.source)}
    try:
        stat = (job.source / METADATA_FILE if job.split else job.source).stat()
    except OSError:
        return facts
    return facts | {"source_bytes": stat.st_size, "source_changed_ns": stat.st_mtime_ns}


def _read(path: Path) -> list[Entry]:
    """Entries of a manifest; lines that are none (cut off, edited) count as not done."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            entries.append(entry)
    return entries


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"
