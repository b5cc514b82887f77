"""What a corpus is: a way to list the clips of a tree with their speakers, texts and splits.

Corpora live outside this package and are found through entry points of the group `v2s_jax.corpora`, so anyone can add
one by installing a package that declares `name = module:corpus` (any name but `tokens`).
"""

import abc
import dataclasses
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from v2s_jax.errors import V2SError

ENTRY_POINTS = "v2s_jax.corpora"
RESERVED = frozenset({"tokens", "drafts"})  # `prepare tokens` is a command of its own, for one
VIDEO_SUFFIXES = frozenset({".mp4", ".mpg", ".mpeg", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".flv", ".wmv", ".ts"})
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aac", ".opus"})


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """One clip of a corpus.

    Attributes:
        id: unique in the corpus, such as `s1/bbaf2n`.
        speaker: who speaks.
        path: the clip's file.
        text: what is said, or "".
        split: `train`, `val`, `test`, or another of the corpus's own.
    """

    id: str
    speaker: str
    path: Path
    text: str
    split: str


class Corpus(abc.ABC):
    """Lists the clips of one corpus's layout.

    Attributes:
        name: on the command line, and of the data set's files.
        description: one or two sentences for the data set's metadata.
        citation: how to cite it, or "".
        pictures: whether records have mouths and faces; otherwise only the clips' sound is read.
    """

    name: str
    description: str
    citation: str = ""
    pictures: bool = True

    @abc.abstractmethod
    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All clips under `source`, in a fixed order.

        Raises:
            V2SError: `source` does not have the corpus's layout.
        """

    def make_source(
        self, folder: Path, jobs: int, speakers: Sequence[str] | None, clips_per_speaker: int | None, scene: str = ""
    ) -> None:
        """Creates a tree for `clips`; only for corpora that are made, not recorded.

        Args:
            folder: where; whole clips of an interrupted attempt may be in it and are to be kept.
            jobs: processes to use.
            speakers: only these; all when None.
            clips_per_speaker: how many; the corpus's default when None.
            scene: how clips are shot, in the corpus's words; as it would by itself when "".

        Raises:
            V2SError: the corpus has to be given by the user.
        """
        raise V2SError(f"prepare {self.name} needs --source DIR, the folder that holds the corpus")


def find_corpus(name: str) -> Corpus:
    """The installed corpus called `name`.

    Raises:
        V2SError: there is none, or it cannot be imported.
    """
    points = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS) if point.name not in RESERVED}
    if name not in points:
        known = f"the installed ones are {', '.join(sorted(points))}" if points else "none is installed: pip install ."
        raise V2SError(f"there is no corpus called {name!r}; {known}")
    try:
        found = points[name].load()
    except ImportError as error:
        raise V2SError(f"the corpus {name!r} cannot be loaded ({error}); install what it needs") from error
    return found


def require_folder(source: Path, layout: str) -> None:
    """Raises V2SError unless `source` is a folder; `layout` says what it should hold."""
    if not source.is_dir():
        raise V2SError(f"{source} is not a folder; --source must name one that holds {layout}")


def video_files(folder: Path) -> list[Path]:
    """All video files under `folder`, by suffix, sorted by path; hidden files and folders are passed over."""
    return media_files(folder, VIDEO_SUFFIXES)


def media_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """All files under `folder` with one of `suffixes`, sorted by path; hidden files and folders are passed over."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in suffixes
        ]
    return sorted(found)


def read_text(path: Path) -> str:
    """A small text file; bytes that are not UTF-8 are read as Latin-1.

    Raises:
        V2SError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise V2SError(f"{path} cannot be read ({error.strerror})") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def hashed_split(key: str, shares: Mapping[str, float]) -> str:
    """A split for `key` that stays the same whatever else the corpus holds.

    Args:
        key: what decides, such as the clip's id.
        shares: share of each split other than `train`, which takes the rest.
    """
    position = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    for split, share in shares.items():
        if position < share:
            return split
        position -= share
    return "train"


def select(
    specs: Sequence[ClipSpec], speakers: Sequence[str] | None = None, limit: int | None = None
) -> list[ClipSpec]:
    """The clips of some speakers, and at most `limit` of each split.

    Raises:
        V2SError: two clips have one id, a speaker has no clip, or nothing is left.
    """
    by_id: dict[str, ClipSpec] = {}
    for spec in specs:
        if spec.id in by_id:
            raise V2SError(f"{spec.path} and {by_id[spec.id].path} have the same id {spec.id!r}; rename one of them")
        by_id[spec.id] = spec
    known = {spec.speaker for spec in specs}
    unknown = sorted(set(speakers or ()) - known)
    if unknown:
        raise V2SError(f"no clip of speaker {unknown[0]!r}; the speakers are {', '.join(sorted(known)[:20]) or 'none'}")
    chosen: list[ClipSpec] = []
    counts: dict[str, int] = {}
    for spec in specs:
        if speakers and spec.speaker not in speakers:
            continue
        counts[spec.split] = counts.get(spec.split, 0) + 1
        if limit is None or counts[spec.split] <= limit:
            chosen.append(spec)
    if not chosen:
        raise V2SError("no clips found: the folder given by --source holds no file in the corpus's layout")
    return chosen
