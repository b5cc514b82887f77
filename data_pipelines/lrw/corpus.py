"""The Lip Reading in the Wild corpus: single words cut from BBC programmes (Chung, Zisserman 2016)."""

from collections.abc import Iterator
from pathlib import Path

from v2s_jax.data.corpus import ClipSpec, Corpus, require_folder
from v2s_jax.errors import V2SError

FOLDER = "lipread_mp4"
SPLITS = ("train", "val", "test")


class Lrw(Corpus):
    """The layout `lipread_mp4/<WORD>/<split>/<WORD>_<number>.mp4`, splits `train`, `val` and `test`.

    The text is the word. LRW does not tell who speaks, so every clip counts as a speaker of its own: losses that
    compare speakers then take no two clips for one person's. `<WORD>_<number>.txt` (channel, programme, length of the
    word) is not read, as records have no place for it.
    """

    name = "lrw"
    description = (
        "Talking faces of Lip Reading in the Wild, a word each: mouth crops, sound and text at 25 fps and 16 kHz."
    )
    citation = "J. S. Chung, A. Zisserman, Lip reading in the wild, ACCV 2016"

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All clips, word by word; what is not named after its word is left out."""
        require_folder(source, f"LRW's folder {FOLDER}")
        root = source / FOLDER
        if not root.is_dir():
            raise V2SError(f"{source} does not hold LRW's folder {FOLDER}; --source must name its parent")
        for path in sorted(root.glob("*/*/*.mp4")):
            word, split, name = path.parts[-3:]
            if split in SPLITS and name.startswith(f"{word}_") and path.is_file():
                id = f"{word}/{split}/{path.stem}"  # the same numbers come in every split
                yield ClipSpec(id, speaker=id, path=path, text=word, split=split)


corpus = Lrw()
