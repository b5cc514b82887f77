"""The GRID corpus: sentences of six words, spoken by 34 people (Cooke et al. 2006)."""

import functools
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from data_pipelines.grid.grammar import is_code, words_of
from v2s_jax.data.corpus import ClipSpec, Corpus, read_text, require_folder, video_files

SILENCE = frozenset({"sil", "sp"})


class Grid(Corpus):
    """Speaker folders of clips, with or without word alignments beside them.

    The layout is `<speaker>/<id>.mpg` (or another video format) and `alignments/<speaker>/<id>.align`; between the
    speaker and the clip there may be other folders. A clip's text comes from its alignment, or else from its name,
    which spells the sentence. The clips listed in `splits/<speaker>_<split>.txt` are held out; all others train.
    """

    name = "grid"
    description = "Talking faces of the GRID sentence corpus: mouth crops, sound and text at 25 fps and 16 kHz."
    citation = (
        "M. Cooke, J. Barker, S. Cunningham, X. Shao, An audio-visual corpus for speech perception and automatic "
        "speech recognition, JASA 120(5), 2006, doi:10.5281/zenodo.3625687, CC BY 4.0"
    )

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All clips, speaker by speaker."""
        require_folder(source, "GRID's speaker folders (s1/bbaf2n.mpg, ...)")
        for path in video_files(source):
            folders = path.relative_to(source).parts[:-1]
            speaker = folders[0] if folders else source.resolve().name
            align = source / "alignments" / speaker / f"{path.stem}.align"
            text = align_text(align) if align.exists() else _text_of_name(path.stem)
            yield ClipSpec(f"{speaker}/{path.stem}", speaker, path, text, self.split(speaker, path.stem))

    def split(self, speaker: str, stem: str) -> str:
        """The split of a clip."""
        return held_out(speaker).get(stem, "train")


@functools.cache
def held_out(speaker: str) -> Mapping[str, str]:
    """The splits of a speaker's clips that do not train, by clip."""
    splits = {}
    for name in ("val", "test"):
        file = resources.files("data_pipelines.grid") / "splits" / f"{speaker}_{name}.txt"
        if file.is_file():
            splits.update(dict.fromkeys(file.read_text().split(), name))
    return splits


def align_text(path: Path) -> str:
    """The words of an alignment (lines of `start end word`), silences left out."""
    lines = (line.split() for line in read_text(path).splitlines())
    return " ".join(parts[2] for parts in lines if len(parts) == 3 and parts[2] not in SILENCE)


def _text_of_name(stem: str) -> str:
    return " ".join(words_of(stem)) if is_code(stem) else ""


corpus = Grid()
