"""Any tree of clips, so that people can use what they have."""

from collections.abc import Iterator
from pathlib import Path

from v2s_jax.data.corpus import ClipSpec, Corpus, hashed_split, read_text, require_folder, video_files

# Shares of the clips held out, where the tree has no folders of those names.
SHARES = {"val": 0.05, "test": 0.05}
SPLITS = ("train", "val", "test")
_NO_SPEAKERS = frozenset({*SPLITS, "dev", "mp4"})  # what VoxCeleb2 has above its speakers


class Folder(Corpus):
    """Videos in folders, at any depth; a clip's text is in `<clip>.txt` beside it, if there is one.

    The topmost folder names a clip's speaker, as in `speaker/video/clip.mp4`; folders of splits and formats above it do
    not count, so VoxCeleb2's `dev/mp4/id00012/21Uxsk56VDQ/00001.mp4` is of `id00012`. Where top folders are called
    `train`, `val` or `test` they are those splits; of the other clips a hash of the path chooses 5 % for validation and
    5 % for test, the same ones whatever is added later, unless the tree has a folder for that.
    """

    name = "folder"
    description = "Talking faces from a folder of clips: mouth crops, sound and text at 25 fps and 16 kHz."

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All videos below `source`, by path."""
        require_folder(source, "video files")
        files = video_files(source)
        tops = {path.relative_to(source).parts[0] for path in files}
        shares = {split: share for split, share in SHARES.items() if split not in tops}
        for path in files:
            place = path.relative_to(source)
            id = place.with_suffix("").as_posix()
            split = place.parts[0] if place.parts[0] in SPLITS else hashed_split(id, shares)
            speaker = _speaker(place.parts[:-1]) or source.resolve().name
            text = path.with_suffix(".txt")
            yield ClipSpec(id, speaker, path, " ".join(read_text(text).split()) if text.exists() else "", split)


def _speaker(folders: tuple[str, ...]) -> str:
    """The first that may be one; otherwise the last, if there is any."""
    return next((name for name in folders if name not in _NO_SPEAKERS), folders[-1] if folders else "")


corpus = Folder()
