"""Which generated file goes with which recording, and what is said in it."""

import json
from pathlib import Path

from v2s_jax.data.corpus import SOUND_SUFFIXES, VIDEO_SUFFIXES, read_text
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.scoring import Pair

_SILENCES = frozenset({"sil", "sp"})  # GRID's marks for silence and short pause


def find_pairs(generated: Path, reference: Path) -> tuple[list[Pair], dict[str, str]]:
    """Pairs the files of two folders.

    A generated file belongs to the recording of the same path below its folder (suffix aside) or, failing that, to the
    only one of the same stem. Sound files and clips are taken; where a folder has both of one name, the sound file.
    Texts come from a `.txt` or `.align` file beside the recording, from `alignments/<speaker>/<stem>.align` at the top
    of the reference folder (GRID's layout), or from the lines of a `manifest.jsonl` in either folder.

    Returns:
        The pairs, and for generated files without a recording why they have none.

    Raises:
        V2SError: a folder is missing or without media, a name is ambiguous, or nothing matches.
    """
    made, real = _media(generated), _media(reference)
    by_stem: dict[str, list[str]] = {}
    for name in real:
        by_stem.setdefault(Path(name).name, []).append(name)
    manifests = {**_manifest_texts(reference), **_manifest_texts(generated)}
    pairs, failures = [], {}
    for name, path in made.items():
        twins = [name] if name in real else by_stem.get(Path(name).name, [])
        if len(twins) > 1:
            raise V2SError(
                f"{path} may belong to {real[twins[0]]} or {real[twins[1]]}; "
                f"arrange {generated} in the same subfolders as {reference}"
            )
        if not twins:
            failures[name] = f"{path}: there is no recording of that name under {reference}"
            continue
        text = text_of(real[twins[0]], reference) or manifests.get(name) or manifests.get(Path(name).name, "")
        pairs.append(Pair(name, real[twins[0]], path, text))
    if not pairs:
        raise V2SError(f"no file of {generated} has the name of a recording under {reference}; names must match")
    return pairs, failures


def _media(folder: Path) -> dict[str, Path]:
    """Path below the folder without suffix -> file; hidden files are passed over."""
    if not folder.is_dir():
        raise V2SError(f"{folder} is not a folder; expected one that holds wav files or clips")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if path.name.startswith(".") or suffix not in SOUND_SUFFIXES | VIDEO_SUFFIXES or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name not in found or (suffix in SOUND_SUFFIXES and found[name].suffix.lower() not in SOUND_SUFFIXES):
            found[name] = path
    if not found:
        raise V2SError(f"{folder} holds no wav file and no clip to evaluate")
    return found


def text_of(recording: Path, root: Path) -> str:
    """What a recording's own text file says, or "" when it has none."""
    align = recording.with_suffix(".align")
    for candidate in (align, root / "alignments" / recording.parent.name / align.name):
        if candidate.is_file():
            words = [line.split()[-1] for line in read_text(candidate).splitlines() if line.strip()]
            return " ".join(word for word in words if word not in _SILENCES)
    plain = recording.with_suffix(".txt")
    if not plain.is_file():
        return ""
    text = read_text(plain)
    # LRS2 and LRS3 write `Text:  WORDS` on the first line, and word times below.
    return " ".join(text.splitlines()[0][5:].split() if text.startswith("Text:") else text.split())


def _manifest_texts(folder: Path) -> dict[str, str]:
    """Texts from the lines of `manifest.jsonl`, by the clip's `id`, `wav` or `source` and by the stem of it.

    Lines that are not JSON (cut off when a run was killed) are passed over.
    """
    path = folder / "manifest.jsonl"
    texts: dict[str, str] = {}
    for line in read_text(path).splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            continue
        for name in (row.get("source"), row.get("wav"), row.get("id")):
            if isinstance(name, str):
                texts[Path(name).stem] = texts[Path(name).with_suffix("").as_posix()] = row["text"]
    return texts
