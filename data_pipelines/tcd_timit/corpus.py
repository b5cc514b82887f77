"""The TCD-TIMIT corpus: TIMIT's sentences, read by 3 lipspeakers and 59 volunteers (Harte, Gillen 2015)."""

from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path

from data_pipelines.grid.corpus import SILENCE
from v2s_jax.data.corpus import ClipSpec, Corpus, hashed_split, media_files, read_text, require_folder
from v2s_jax.errors import V2SError

# The corpus's parts, and the files that hold their phonemes.
PARTS = {"lipspeakers": "lipspeaker_labelfiles.mlf", "volunteers": "volunteer_labelfiles.mlf"}
# Shares of the lipspeakers' sentences held out.
SHARES = {"val": 0.05, "test": 0.05}
# Volunteers by split; the others train. README.md says where the lists come from.
VOLUNTEERS = {
    "val": "10M 20M 31F 46F",
    "test": "08F 09F 15F 18M 25M 28M 33F 34M 36F 41M 44F 45F 49F 54M 55F 56M 58F",
    "other": "27M 35M 53M",
}


class TcdTimit(Corpus):
    """The layout `<part>/<speaker>/Clips/straightcam/<sentence>.mp4`, parts `lipspeakers` and `volunteers`.

    Lipspeakers are seen in all splits: a hash of the sentence's name holds 5 % of the sentences out for validation and
    5 % for test, the same ones for all three. Volunteers are held out as people. The text is in `<sentence>.txt` beside
    a clip; in a part that has no such files it is the phonemes of its label file, if that is there.
    """

    name = "tcd_timit"
    description = "Talking faces of TCD-TIMIT, seen from the front: mouth crops, sound and text at 25 fps and 16 kHz."
    citation = (
        "N. Harte, E. Gillen, TCD-TIMIT: an audio-visual corpus of continuous speech, IEEE Transactions on Multimedia "
        "17(5), 2015"
    )

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All clips of the camera in front, part by part and speaker by speaker."""
        require_folder(source, "TCD-TIMIT's folders lipspeakers and volunteers")
        parts = [part for part in PARTS if (source / part).is_dir()]
        if not parts:
            raise V2SError(
                f"{source} holds none of TCD-TIMIT's folders lipspeakers, volunteers; --source must name their parent"
            )
        for part in parts:
            texts = {path: sentence(path) for path in _clips(source / part)}
            # Words and phonemes are not mixed: nothing could tell which a text is.
            sounds = {} if any(texts.values()) else phonemes(source / PARTS[part])
            for path, words in texts.items():
                speaker = path.parts[-4]
                text = words or sounds.get((speaker, path.stem.lower()), "")
                yield ClipSpec(f"{part}/{speaker}/{path.stem}", speaker, path, text, split_of(part, speaker, path.stem))


def split_of(part: str, speaker: str, name: str) -> str:
    """The split of a speaker's sentence `name`, such as sx301."""
    if part == "lipspeakers":
        return hashed_split(name.lower(), SHARES)
    return next((split for split, names in VOLUNTEERS.items() if speaker.upper() in names.split()), "train")


def _clips(part: Path) -> list[Path]:
    """The clips of the camera in front, sorted by path."""
    folders = sorted(part.glob("*/Clips/straightcam"))
    return [path for folder in folders for path in media_files(folder, {".mp4"}) if path.parent == folder]


def sentence(clip: Path) -> str:
    """The words of the text file beside `clip`, without TIMIT's two numbers in front; "" if there is no such file."""
    stems = dict.fromkeys((clip.stem, clip.stem.upper(), clip.stem.lower()))
    places = [clip.with_name(f"{stem}{suffix}") for stem in stems for suffix in (".txt", ".TXT")]
    path = next(filter(Path.is_file, places), None)
    return "" if path is None else " ".join(dropwhile(str.isdecimal, read_text(path).split()))


def phonemes(path: Path) -> dict[tuple[str, str], str]:
    """The phonemes of a label file, by speaker and sentence, silences left out; empty if there is no such file.

    Every clip has a line `".../<speaker>/Clips/straightcam/<sentence>.rec"`, lines `start end phoneme`, and a dot.

    Raises:
        V2SError: the file names no clip.
    """
    if not path.exists():
        return {}
    found: dict[tuple[str, str], list[str]] = {}
    sounds: list[str] = []
    for line in read_text(path).splitlines():
        place = line.strip().strip('"').replace("\\", "/").split("/")
        if len(place) >= 4:
            sounds = found.setdefault((place[-4], Path(place[-1]).stem.lower()), [])
        elif len(parts := line.split()) == 3 and parts[2] not in SILENCE:
            sounds.append(parts[2])
    if not found:
        raise V2SError(
            f'{path} has no line such as ".../01M/Clips/straightcam/sa1.rec", as TCD-TIMIT\'s label files do'
        )
    return {clip: " ".join(said) for clip, said in found.items()}


corpus = TcdTimit()
