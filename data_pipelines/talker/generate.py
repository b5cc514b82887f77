"""A corpus of synthetic talkers in GRID's layout: `<speaker>/<id>.mp4` and `alignments/<speaker>/<id>.align`."""

import dataclasses
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from data_pipelines.talker.dials import parse
from data_pipelines.talker.identities import HELD_OUT, N_IDENTITIES
from data_pipelines.talker.render import render_clip
from data_pipelines.talker.sentences import FREE_SENTENCES, grid_code
from v2s_jax.constants import VIDEO_FPS
from v2s_jax.media.atomic import replacing
from v2s_jax.progress import progress

_TICKS = 25_000  # GRID's alignments count 1/25000 s


@dataclasses.dataclass(frozen=True)
class Job:
    """One clip to render: where, who, what."""

    out: Path
    identity: int
    clip_id: str
    sentence: str
    seed: int
    dials: str = ""

    @property
    def speaker(self) -> str:
        """Name of the speaker's folder."""
        return f"t{self.identity:02d}"

    @property
    def clip(self) -> Path:
        """The clip's file."""
        return self.out / self.speaker / f"{self.clip_id}.mp4"

    @property
    def align(self) -> Path:
        """Its word times."""
        return self.out / "alignments" / self.speaker / f"{self.clip_id}.align"


def plan(
    out: Path, identities: Sequence[int], clips_per_identity: int, seed: int, free_share: float, dials: str = ""
) -> list[Job]:
    """Draws every clip's sentence; no sentence twice for one speaker.

    Held-out identities say the reserved GRID sentences (`sentences.is_reserved`), the others never do.
    """
    jobs = []
    for who in identities:
        rng = np.random.default_rng([seed, who])
        n_free = min(round(free_share * clips_per_identity), len(FREE_SENTENCES))
        free = rng.choice(len(FREE_SENTENCES), n_free, replace=False)
        said = {f"free{number:04d}": FREE_SENTENCES[number] for number in sorted(free.tolist())}
        while len(said) < clips_per_identity:
            code = grid_code(rng, held_out=who in HELD_OUT)
            said[code] = code
        jobs += [Job(out, who, clip_id, sentence, seed, dials) for clip_id, sentence in said.items()]
    return jobs


def generate(
    out: str | os.PathLike,
    identities: Sequence[int] = tuple(range(N_IDENTITIES)),
    clips_per_identity: int = 30,
    seed: int = 0,
    free_share: float = 0.25,
    workers: int | None = None,
    size: tuple[int, int] = (360, 288),
    dials: str = "",
) -> int:
    """Renders a corpus, resuming where an earlier run stopped; the same arguments give the same corpus.

    Args:
      out: folder of the corpus.
      identities: who speaks (`identities.HELD_OUT` are meant for testing).
      clips_per_identity: clips of each.
      seed: of everything random.
      free_share: share of clips with plain English text (at most as many as there are sentences) instead of GRID's.
      workers: processes; as many as the machine has cores if None, none but this one if 0.
      size: of the picture in pixels.
      dials: what makes the clips harder, in the words of `dials.py`.

    Returns:
      The number of clips in the corpus.

    Raises:
      V2SError: no such identity or dial, the `talker` extra is missing, or a file cannot be written.
    """
    jobs = plan(Path(out), identities, clips_per_identity, seed, free_share, dials)
    parse(dials)
    left = [job for job in jobs if not job.align.exists()]  # written last, so a clip that has it is whole
    if workers == 0:
        for job in progress(left, len(left), "clip"):
            _render(job, size)
        return len(jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers or os.cpu_count() or 1, max(len(left), 1)), mp_context=context) as pool:
        done = pool.map(_render, left, [size] * len(left))
        for _ in progress(done, len(left), "clip"):
            pass
    return len(jobs)


def _render(job: Job, size: tuple[int, int]) -> None:
    """Writes one clip, then its word times."""
    job.clip.parent.mkdir(parents=True, exist_ok=True)
    job.align.parent.mkdir(parents=True, exist_ok=True)
    rendered = render_clip(
        job.clip, identity=job.identity, sentence=job.sentence, seed=job.seed, size=size, dials=job.dials
    )
    with replacing(job.align) as file:
        file.write(align_text(rendered.words, rendered.n_frames / VIDEO_FPS).encode())


def align_text(words: list[tuple[float, float, str]], duration: float) -> str:
    """Word times as GRID writes them: `start end word`, silence at the edges (`sil`) and in pauses (`sp`)."""
    rows: list[tuple[int, int, str]] = []
    for start, end, word in words:
        first, last = round(start * _TICKS), round(end * _TICKS)
        before = rows[-1][1] if rows else 0
        if first > before:
            rows.append((before, first, "sp" if rows else "sil"))
        rows.append((first, last, word))
    rows.append((rows[-1][1], round(duration * _TICKS), "sil"))
    return "".join(f"{start} {end} {word}\n" for start, end, word in rows)
