"""Scores pairs of recordings and generated waveforms in parallel, and sums them up."""

import dataclasses
import functools
import importlib.metadata
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.data.workers import Failure, run_isolated
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.evaluation.metrics import BY_NAME, Metric, Signals, choose, load_encoder
from v2s_jax.evaluation.recognizer import Recognizer, fitting_grammar
from v2s_jax.evaluation.statistics import Mean, bootstrap_mean
from v2s_jax.evaluation.words import Step
from v2s_jax.features.griffin_lim import griffin_lim
from v2s_jax.features.mel import log_mel
from v2s_jax.media.atomic import replacing
from v2s_jax.media.audio import read_audio
from v2s_jax.progress import progress

SCHEMA = 1  # of the JSON
ROWS = {"generated": "generated", "recording": "real recording", "ceiling": "Griffin-Lim of the true mel"}
_TOLERANCE = 0.04  # seconds: lengths may differ by one video frame before it is said


@dataclasses.dataclass(frozen=True)
class Pair:
    """A clip to score; waveforms as files (read in the worker) or at hand, mono at 16 kHz."""

    name: str
    recording: Path | np.ndarray
    generated: Path | np.ndarray
    text: str = ""

    def waveforms(self) -> tuple[np.ndarray, np.ndarray]:
        """Recording and generated waveform.

        Raises:
            BadClip: a file cannot be read or has no sound.
        """
        return _waveform(self.recording), _waveform(self.generated)


def _waveform(source: Path | np.ndarray) -> np.ndarray:
    if isinstance(source, np.ndarray):
        return np.nan_to_num(source.astype(np.float32))
    wave = read_audio(source, None)
    if wave is None:
        raise BadClip(f"{source}: expected a file with sound to score, found no sound track in it")
    return wave


@dataclasses.dataclass(frozen=True)
class ClipScore:
    """What one clip got.

    Attributes:
        name: of the clip.
        text: what is said, or "".
        values: row (see `ROWS`) -> metric -> value.
        weights: metric -> weight in the mean.
        steps: words said against words recognised in the generated waveform.
        seconds: lengths of recording and generated waveform.
    """

    name: str
    text: str
    values: dict[str, dict[str, float]]
    weights: dict[str, float]
    steps: tuple[Step, ...]
    seconds: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a set of clips.

    Attributes:
        metrics: the columns.
        grammar: what the recogniser was held to; "" when it was not asked.
        clips: scores in the order of the pairs.
        means: row -> metric -> mean over clips.
        failures: clip -> why it could not be scored.
        notes: sentences about what was left out.
        about: what was evaluated, such as the model and the data set.
    """

    metrics: list[Metric]
    grammar: str
    clips: list[ClipScore]
    means: dict[str, dict[str, Mean]]
    failures: dict[str, str]
    notes: list[str]
    about: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data; NaN becomes null."""
        data = {
            "schema": SCHEMA,
            "about": self.about,
            "grammar": self.grammar,
            "versions": _versions(self.metrics),
            "metrics": {
                m.name: {"title": m.title, "unit": m.unit, "better": m.better, "about": m.about} for m in self.metrics
            },
            "means": {row: {k: dataclasses.asdict(v) for k, v in means.items()} for row, means in self.means.items()},
            "clips": [dataclasses.asdict(clip) for clip in self.clips],
            "failures": self.failures,
            "notes": self.notes,
        }
        return plain(data)

    def write_json(self, path: Path) -> None:
        """Writes `to_json` in one piece."""
        with replacing(path) as file:
            file.write(json.dumps(self.to_json(), indent=1, allow_nan=False).encode())


def evaluate(
    pairs: Sequence[Pair],
    *,
    names: Sequence[str] | None = None,
    grammar: str | None = None,
    ceiling: bool = False,
    speaker_encoder: str | None = None,
    jobs: int | None = None,
    about: dict[str, str] | None = None,
    failures: dict[str, str] | None = None,
) -> Evaluation:
    """Scores every pair in processes of their own.

    Args:
        pairs: what to score; names are unique.
        names: metrics; all that can be computed here when None.
        grammar: `grid`, `free` or a JSGF file; None takes `grid` when all texts are GRID sentences, else `free`.
        ceiling: also score Griffin-Lim of the recording's own mel, the best a mel system with that vocoder can do.
        speaker_encoder: by name or path, for the similarity of speakers; the shipped one when None.
        jobs: processes; the number of cores when None.
        about: what is evaluated, for the report.
        failures: clips that could not even be paired, and why.

    Raises:
        V2SError: no pair, no metric, an impossible metric, grammar or encoder, or not one clip could be scored.
    """
    if not pairs:
        raise V2SError("there is no clip to evaluate")
    texts = [pair.text for pair in pairs if pair.text]
    encoder = choose_encoder(names, speaker_encoder)
    metrics, notes = choose(names, bool(texts), encoder)
    if not metrics:
        raise V2SError("no metric is left to compute; name one of those installed by --metrics")
    chosen_grammar = ""
    if any(metric.needs_text for metric in metrics):
        chosen_grammar = grammar or fitting_grammar(texts)
        Recognizer(chosen_grammar)  # a bad grammar is the user's, and one sentence now, not one a clip
        if len(texts) < len(pairs):
            notes.append(f"{len(pairs) - len(texts)} of {len(pairs)} clips have no text and no share in the WER.")
    task = functools.partial(
        score, names=[m.name for m in metrics], grammar=chosen_grammar, ceiling=ceiling, encoder=encoder
    )
    outcomes = run_isolated(task, pairs, min(jobs or os.cpu_count() or 1, len(pairs)), timeout=1800.0)
    results = {pair.name: outcome for pair, outcome in progress(outcomes, len(pairs), "clips")}
    failed = {pair.name: results[pair.name].reason for pair in pairs if isinstance(results[pair.name], Failure)}
    clips = [results[pair.name] for pair in pairs if pair.name not in failed]
    if not clips:
        raise V2SError(f"not one of {len(pairs)} clips could be scored; the first: {next(iter(failed.values()))}")
    means = summarize(clips, metrics)
    notes += _length_notes(clips) + _judged_notes(clips, metrics, means["generated"])
    return Evaluation(metrics, chosen_grammar, clips, means, (failures or {}) | failed, notes, about or {})


def choose_encoder(names: Sequence[str] | None, asked: str | None) -> str | None:
    """The speaker encoder that the metrics asked for need, after a look whether it can be loaded; None if none does.

    Args:
        names: of the metrics; all when None.
        asked: name or path; the shipped one when None.

    Raises:
        V2SError: there is no such encoder.
    """
    if names is not None and not any(BY_NAME[name].needs_encoder for name in names if name in BY_NAME):
        return None
    from v2s_jax.synthesis.speaker_encoder import DEFAULT_ENCODER

    encoder = asked or DEFAULT_ENCODER
    load_encoder(encoder)
    return encoder


def score(pair: Pair, names: Sequence[str], grammar: str, ceiling: bool, encoder: str | None = None) -> ClipScore:
    """Scores one pair; runs in a worker.

    Raises:
        BadClip: a waveform cannot be read.
    """
    recording, generated = pair.waveforms()
    metrics, _ = choose(names, with_text=True, encoder=encoder)
    rows = {"generated": generated, "recording": recording}
    if ceiling:
        rows["ceiling"] = griffin_lim(log_mel(recording))
    values: dict[str, dict[str, float]] = {}
    weights: dict[str, float] = {}
    steps: tuple[Step, ...] = ()
    for row, candidate in rows.items():
        # The recording is judged whole; the others as far as both go.
        signals = Signals(recording, candidate, pair.text, grammar, encoder)
        judged = [m for m in metrics if not (row == "recording" and m.needs_reference)]
        judged = [m for m in judged if pair.text or not m.needs_text]
        values[row] = {metric.name: metric.compute(signals) for metric in judged}
        if row == "generated":
            weights = {metric.name: metric.weight(signals) for metric in judged}
            steps = signals.words.steps if any(metric.needs_text for metric in judged) else ()
    seconds = (len(recording) / SAMPLE_RATE, len(generated) / SAMPLE_RATE)
    return ClipScore(pair.name, pair.text, values, weights, steps, seconds)


def summarize(clips: Sequence[ClipScore], metrics: Sequence[Metric]) -> dict[str, dict[str, Mean]]:
    """Row -> metric -> weighted mean over the clips that have a value."""
    means: dict[str, dict[str, Mean]] = {}
    for row in clips[0].values:
        means[row] = {}
        for metric in metrics:
            if row == "recording" and metric.needs_reference:
                continue
            values = [clip.values[row].get(metric.name, math.nan) for clip in clips]
            weights = [clip.weights.get(metric.name, 0.0) for clip in clips]
            means[row][metric.name] = bootstrap_mean(values, weights)
    return means


def _length_notes(clips: Sequence[ClipScore]) -> list[str]:
    off = [clip.name for clip in clips if abs(clip.seconds[0] - clip.seconds[1]) > _TOLERANCE]
    if not off:
        return []
    return [
        f"{len(off)} generated waveforms differ in length from their recordings by more than a video frame "
        f"({off[0]} among them) and were compared as far as both go."
    ]


def _judged_notes(clips: Sequence[ClipScore], metrics: Sequence[Metric], means: dict[str, Mean]) -> list[str]:
    """Says which means leave clips out, such as the F0 error where nothing generated is voiced."""
    notes = []
    for metric in metrics:
        asked = sum(metric.name in clip.weights for clip in clips)
        if means[metric.name].n < asked:
            notes.append(f"{metric.title} could be judged in {means[metric.name].n} of {asked} clips.")
    return notes


def _versions(metrics: Sequence[Metric]) -> dict[str, str]:
    packages = {"pystoi", "pocketsphinx"}.union(*(metric.packages for metric in metrics))
    return {name: importlib.metadata.version(name) for name in sorted(packages)}


def plain(value: Any) -> Any:
    """Data as JSON takes it: names are texts, and a number that is none becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
