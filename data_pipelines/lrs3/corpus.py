"""The LRS3-TED corpus: sentences cut from TED talks (Afouras, Chung, Zisserman 2018)."""

from collections.abc import Iterator
from pathlib import Path

from v2s_jax.data.corpus import ClipSpec, Corpus, hashed_split, read_text, require_folder
from v2s_jax.errors import V2SError

# The corpus's own parts, and the splits they become.
PARTS = {"pretrain": "pretrain", "trainval": "train", "test": "test"}
# Share of the talks held out for validation, which the corpus leaves to its users.
VAL_SHARE = 0.02


class Lrs3(Corpus):
    """The layout `<part>/<talk>/<clip>.mp4` with `<clip>.txt` beside it, parts `pretrain`, `trainval` and `test`.

    `pretrain` stays a split of its own, `trainval` becomes `train` and `val`. Validation takes all `trainval` clips of
    a fixed 2 % of the talks; the `pretrain` clips of those talks are left out, so that nobody heard in training speaks
    in validation.
    """

    name = "lrs3"
    description = "Talking faces of LRS3-TED: mouth crops, sound and text at 25 fps and 16 kHz."
    citation = (
        "T. Afouras, J. S. Chung, A. Zisserman, LRS3-TED: a large-scale dataset for visual speech recognition, "
        "arXiv:1809.00496, 2018"
    )

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All clips, part by part and talk by talk."""
        require_folder(source, "LRS3's parts (trainval/<talk>/<clip>.mp4, ...)")
        parts = [part for part in PARTS if (source / part).is_dir()]
        if not parts:
            raise V2SError(
                f"{source} holds none of LRS3's folders pretrain, trainval and test; --source must name their parent"
            )
        for part in parts:
            for path in sorted((source / part).glob("*/*.mp4")):
                talk = path.parent.name
                split = split_of(part, talk)
                if split:
                    text = transcript(path.with_suffix(".txt"))
                    yield ClipSpec(f"{part}/{talk}/{path.stem}", talk, path, text, split)


def split_of(part: str, talk: str) -> str | None:
    """The split of a talk's clips; None if they are left out."""
    if part == "test" or hashed_split(talk, {"val": VAL_SHARE}) == "train":
        return PARTS[part]
    return "val" if part == "trainval" else None


def transcript(path: Path) -> str:
    """What follows `Text:` in a clip's text file; "" if there is no such file."""
    if not path.exists():
        return ""
    for line in read_text(path).splitlines():
        key, colon, words = line.partition(":")
        if colon and key.strip() == "Text":
            return " ".join(words.split())
    raise V2SError(f"{path} has no line that begins with 'Text:', as LRS3's text files do")


corpus = Lrs3()
