"""Sound alone, by speaker: synthetic voices when no folder is given, any tree of sounds or clips otherwise."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_pipelines.folder.corpus import SPLITS
from v2s_jax.data.corpus import (
    SOUND_SUFFIXES,
    VIDEO_SUFFIXES,
    ClipSpec,
    Corpus,
    hashed_split,
    media_files,
    read_text,
    require_folder,
)
from v2s_jax.errors import V2SError

CLIPS_PER_VOICE = 16
# Shares of the speakers held out, where the tree has no folders of those names.
SHARES = {"val": 0.08, "test": 0.08}


class Voices(Corpus):
    """`<speaker>/...` or `<split>/<speaker>/...`, sound files or clips at any depth, of which the sound is read.

    A hash of the speaker's name chooses the split where the tree's top folders do not. A text is in `<file>.txt`.
    """

    name = "voices"
    description = "Speech of many speakers at 16 kHz, without pictures."
    pictures = False

    def clips(self, source: Path) -> Iterator[ClipSpec]:
        """All sounds below `source`, by path."""
        require_folder(source, "a folder of sounds or clips for every speaker")
        for path in media_files(source, SOUND_SUFFIXES | VIDEO_SUFFIXES):
            place = path.relative_to(source)
            split, parts = (place.parts[0], place.parts[1:]) if place.parts[0] in SPLITS else ("", place.parts)
            if len(parts) < 2:
                raise V2SError(f"{path} lies in no speaker's folder; put it into one that bears the speaker's name")
            text = path.with_suffix(".txt")
            yield ClipSpec(
                id=place.with_suffix("").as_posix(),
                speaker=parts[0],
                path=path,
                text=" ".join(read_text(text).split()) if text.exists() else "",
                split=split or hashed_split(parts[0], SHARES),
            )

    def make_source(
        self, folder: Path, jobs: int, speakers: Sequence[str] | None, clips_per_speaker: int | None, scene: str = ""
    ) -> None:
        """Synthesizes the corpus; what is there already stays.

        Raises:
            V2SError: there is no such voice, the `talker` extra is missing, or a scene is asked for.
        """
        if scene:
            raise V2SError("voices have no scene: leave --scene out")
        from data_pipelines.voices.generate import N_VOICES, generate

        names = {f"v{number:03d}": number for number in range(N_VOICES)}
        unknown = sorted(set(speakers or ()) - set(names))
        if unknown:
            raise V2SError(f"no voice is called {unknown[0]!r}; they are v000 to {max(names)}")
        generate(folder, [names[name] for name in speakers or names], clips_per_speaker or CLIPS_PER_VOICE, jobs)


corpus = Voices()
