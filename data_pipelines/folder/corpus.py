"""Any tree of clips, so that people can use what they have."""

from collections.abc import Iterator
from pathlib import Path

from v2s_jax.data.corpus import ClipSpec, Corpus, hashed_split, read_text, require_folder, video_files

# Shares of the clips held out, where the tree has no folders of those names.
SHARES = {"val": 0.05, "test": 0.05}
SPLITS = ("train", "val", "test")


class Folder(Corpus):
    """Videos in folders, at any depth; a clip's text is in `<clip>.txt` beside it, if there is one.

    The folder a clip lies in names its speaker. Where the tree's top folders are called `train`, `val` and `test` they
    are the splits; otherwise a hash of the clip's path chooses 5 % for validation and 5 % for test, the same ones
    whatever is added later.
    """

    name = "folder"
    description = "Talking faces from a folder of clips: mouth crops, sound and text at 25 fps and 16 kHz."

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All videos below `source`, by path."""
        require_folder(source, "video files")
        for path in video_files(source):
            place = path.relative_to(source)
            id = place.with_suffix("").as_posix()
            split = place.parts[0] if place.parts[0] in SPLITS else hashed_split(id, SHARES)
            speaker = path.parent.name if len(place.parts) > 1 else source.resolve().name
            text = path.with_suffix(".txt")
            yield ClipSpec(id, speaker, path, " ".join(read_text(text).split()) if text.exists() else "", split)


corpus = Folder()
