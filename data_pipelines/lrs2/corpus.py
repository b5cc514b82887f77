"""The LRS2-BBC corpus: sentences cut from BBC programmes (Afouras et al. 2018, arXiv 1809.02108)."""

from collections.abc import Iterator
from pathlib import Path

from data_pipelines.lrs3.corpus import transcript
from v2s_jax.data.corpus import ClipSpec, Corpus, read_text, require_folder
from v2s_jax.errors import V2SError

# The corpus's lists of clips are called as its splits are; the folder that each one's clips are in.
FOLDERS = {"pretrain": "pretrain", "train": "main", "val": "main", "test": "main"}


class Lrs2(Corpus):
    """The layout `main/<video>/<clip>.mp4` and `pretrain/<video>/<clip>.mp4`, `<clip>.txt` beside each, and the lists.

    The lists `pretrain.txt`, `train.txt`, `val.txt` and `test.txt` name `<video>/<clip>` first in every line and say
    which split a clip is of; what no list names is left out.
    """

    name = "lrs2"
    description = "Talking faces of LRS2-BBC: mouth crops, sound and text at 25 fps and 16 kHz."
    citation = (
        "T. Afouras, J. S. Chung, A. Senior, O. Vinyals, A. Zisserman, Deep audio-visual speech recognition, IEEE "
        "TPAMI, 2018, arXiv:1809.02108"
    )

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All clips, list by list."""
        require_folder(source, "LRS2's folders main and pretrain and its lists train.txt, val.txt, test.txt")
        lists = [split for split in FOLDERS if (source / f"{split}.txt").is_file()]
        if not lists:
            raise V2SError(f"{source} holds none of LRS2's lists train.txt, val.txt, test.txt, pretrain.txt: add them")
        for split in lists:
            for clip in listed(source / f"{split}.txt"):
                path = source / FOLDERS[split] / f"{clip}.mp4"
                yield ClipSpec(
                    f"{FOLDERS[split]}/{clip}", path.parent.name, path, transcript(path.with_suffix(".txt")), split
                )


def listed(path: Path) -> list[str]:
    """The clips of a list, in order.

    Raises:
        V2SError: a line names none.
    """
    names = [line.split()[0] for line in read_text(path).splitlines() if line.split()]
    for name in names:
        parts = name.split("/")
        if len(parts) != 2 or any(part in ("", ".", "..") for part in parts):
            raise V2SError(f"{path} has the line {name!r}; expected <video>/<clip>, as LRS2's lists have")
    return names


corpus = Lrs2()
