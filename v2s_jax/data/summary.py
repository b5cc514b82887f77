"""What a run of `prepare` made, in a few lines."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

from v2s_jax.constants import VIDEO_FPS
from v2s_jax.data.metadata import read_metadata

# Lower edges of the classes in which the share of frames with a detected face is reported.
COVERAGE_CLASSES = (1.0, 0.95, 0.8, 0.5, 0.0)


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A clip that could not be used, and why."""

    id: str
    path: str
    reason: str
    details: str = ""


@dataclasses.dataclass(frozen=True)
class Summary:
    """A data set in figures.

    Attributes:
        out: its folder.
        clips: records in each split.
        hours: of video, all splits together.
        speakers: how many.
        silent: records without sound.
        coverage: of each record with a mouth, the share of frames with a detected face.
        skipped: clips that gave no record.
        nothing_to_do: it was complete before.
    """

    out: Path
    clips: dict[str, int]
    hours: float
    speakers: int
    silent: int
    coverage: np.ndarray
    skipped: tuple[Skipped, ...]
    nothing_to_do: bool = False

    def __str__(self) -> str:
        total = sum(self.clips.values())
        splits = ", ".join(f"{count} {split}" for split, count in self.clips.items())
        lines = [f"{self.out}: nothing to do, the data set is complete"] if self.nothing_to_do else []
        lines.append(f"{total} clips ({splits}), {self.hours:.2f} hours, {self.speakers} speakers in {self.out}")
        if self.silent:
            lines.append(f"{self.silent} clips have no sound")
        if len(self.coverage):
            lines.append(f"frames with a detected face: {self._coverage_line()}")
        lines += [f"skipped {clip.path}: {clip.reason}" for clip in self.skipped[:10]]
        if self.skipped:
            lines.append(f"{len(self.skipped)} clips skipped; all of them are in {self.out / 'skipped.jsonl'}")
        return "\n".join(lines)

    def _coverage_line(self) -> str:
        classes = Counter(next(edge for edge in COVERAGE_CLASSES if share >= edge) for share in self.coverage)
        parts = [
            f"all in {classes[edge]} clips" if edge == 1 else f"{edge:.0%} or more in {classes[edge]}"
            for edge in COVERAGE_CLASSES
            if classes[edge]
        ]
        return f"mean {self.coverage.mean():.1%}, least {self.coverage.min():.1%} ({', '.join(parts)})"


def summarise(out: Path, skipped: list[Skipped]) -> Summary:
    """The figures of the finished data set `out`."""
    splits = read_metadata(out).splits
    return Summary(
        out=out,
        clips={name: len(split.ids) for name, split in splits.items()},
        hours=sum(sum(split.n_frames) for split in splits.values()) / VIDEO_FPS / 3600,
        speakers=len({speaker for split in splits.values() for speaker in split.speakers}),
        silent=sum(len(split.ids) - split.fields.get("audio", 0) for split in splits.values()),
        coverage=np.array(
            [share for split in splits.values() if split.fields.get("mouth") for share in split.coverage]
        ),
        skipped=tuple(skipped),
    )
