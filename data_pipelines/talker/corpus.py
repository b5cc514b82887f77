"""Synthetic talkers as a corpus: rendered when no folder is given, read like GRID."""

from collections.abc import Sequence
from pathlib import Path

from data_pipelines.grid.corpus import Grid
from data_pipelines.talker.identities import HELD_OUT, N_IDENTITIES
from v2s_jax.errors import V2SError

CLIPS_PER_SPEAKER = 30
NAMES = {f"t{identity:02d}": identity for identity in range(N_IDENTITIES)}
_VAL = len(HELD_OUT) // 2
SPLITS = {f"t{identity:02d}": "val" if place < _VAL else "test" for place, identity in enumerate(HELD_OUT)}


class Talker(Grid):
    """Clips of `data_pipelines.talker.generate`; the held-out identities are validation and test, a half each."""

    name = "talker"
    description = "Synthetic talking faces with their ground truth: mouth crops, sound and text at 25 fps and 16 kHz."
    citation = ""

    def split(self, speaker: str, stem: str) -> str:
        """By speaker alone."""
        return SPLITS.get(speaker, "train")

    def make_source(
        self, folder: Path, jobs: int, speakers: Sequence[str] | None, clips_per_speaker: int | None, scene: str = ""
    ) -> None:
        """Renders the corpus; what is there already stays.

        Raises:
            V2SError: there is no such speaker or dial, or the `talker` extra is missing.
        """
        from data_pipelines.talker.generate import generate

        unknown = sorted(set(speakers or ()) - set(NAMES))
        if unknown:
            raise V2SError(f"no talker is called {unknown[0]!r}; they are t00 to {max(NAMES)}")
        identities = [NAMES[name] for name in speakers or NAMES]
        generate(folder, identities, clips_per_speaker or CLIPS_PER_SPEAKER, workers=jobs, dials=scene)


corpus = Talker()
