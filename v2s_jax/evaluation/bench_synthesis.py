"""`v2s-jax bench synthesize`: seconds of speech a second, stage by stage, beside the same models in PyTorch.

Clips are read by one process; records come from shards, as they do when `synthesize` is given a prepared data set.
Network and vocoder take turns with PyTorch's, clip by clip, so that a noisy machine disturbs both.
"""

import dataclasses
import inspect
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from v2s_jax.constants import VIDEO_FPS
from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.evaluation.bench_models import has_torch
from v2s_jax.media.clip import load_clip
from v2s_jax.synthesis.neural_vocoder import NeuralVocoder
from v2s_jax.synthesis.pretrained import is_workdir, locate
from v2s_jax.synthesis.synthesizer import Synthesizer

MODELS = ("talker-svts", "grid-s1-diffv2s", "grid-s1-faces2voices", "grid-s1-av2a")
TRIED = {"evaluations": (2.0, 10.0), "rounds": (0.0, 1.0, 2.0)}  # beside a model's own, of the settings that cost time
_RECORDS = 32  # of a data set at most


@dataclasses.dataclass
class Timed:
    """Seconds of work on so many seconds of speech."""

    spoken: float = 0.0
    seconds: float = 0.0

    def add(self, spoken: float, seconds: float) -> None:
        """Counts more of both."""
        self.spoken += spoken
        self.seconds += seconds

    @property
    def speed(self) -> float:
        """Seconds of speech a second."""
        return self.spoken / max(self.seconds, 1e-9)


def measure(
    models: list[str], data: Path, split: str, clip: Path, seconds: float, rows: int
) -> Iterator[tuple[str, float]]:
    """Figures by name, as they come: all are seconds of speech to a second of work.

    Args:
        models: names or paths.
        data: a prepared data set.
        split: of it.
        clip: a video file.
        seconds: to spend on each figure, at least.
        rows: windows computed at once.
    """
    for model in models:
        synthesizer = Synthesizer.from_pretrained(model, rows)
        yield f"{model}: reading clips", _reading(clip, seconds).speed
        for settings in steps_tried(synthesizer.network.knobs):
            tuned = synthesizer.tuned(settings)
            name = ", ".join([model, *(f"{value:.0f} {knob}" for knob, value in settings.items())])
            yield from _from_shards(name, tuned, ShardedDataset(data, split), seconds)
            if has_torch() and _exportable(model, synthesizer):
                yield from _beside_torch(name, model, tuned, ShardedDataset(data, split), settings, seconds)


def steps_tried(knobs: Mapping[str, float]) -> list[dict[str, float]]:
    """Settings of a sampler to be timed: its own number of steps and the usual ones; {} alone of one without steps."""
    knob = next((name for name in TRIED if name in knobs), None)
    return [{}] if knob is None else [{knob: value} for value in sorted({knobs[knob], *TRIED[knob]})]


def _reading(clip: Path, seconds: float) -> Timed:
    timed = Timed()
    while timed.seconds < seconds:
        start = time.perf_counter()
        timed.add(len(load_clip(clip, audio=False).mouth) / VIDEO_FPS, time.perf_counter() - start)
    return timed


def _from_shards(
    name: str, synthesizer: Synthesizer, data: ShardedDataset, seconds: float
) -> Iterator[tuple[str, float]]:
    """All stages on records again and again, one after the other in one thread, once all is compiled."""
    reading, whole = Timed(), Timed()
    stages = {stage: Timed() for stage in ("face", "network", "vocoder")}
    numbers = itertools.cycle(range(min(len(data), _RECORDS)))

    def looks(until: float, least: int) -> Iterator[tuple[int, Any]]:
        for done, index in enumerate(numbers):
            if done >= least and time.perf_counter() > until:
                return
            start = time.perf_counter()
            record = data.read(index, synthesizer.looks_at)
            reading.add(record.n_frames / VIDEO_FPS, time.perf_counter() - start)
            yield index, synthesizer.look(record)

    used = min(len(data), _RECORDS)
    least = used if len(set(data.lengths[:used].tolist())) > 1 else 1  # for each length has its program
    for warm in (True, False):
        start = time.perf_counter()
        reading, whole = Timed(), Timed()
        for _, speech in synthesizer.sounded(synthesizer.made(looks(start + seconds * (not warm), least))):
            if isinstance(speech, Exception):
                raise speech
            whole.spoken += speech.seconds
            if not warm:
                for stage, timed in stages.items():
                    timed.add(speech.seconds, speech.timings.get(stage, 0.0))
        whole.seconds = time.perf_counter() - start
    yield f"{name}: from shards, all stages", whole.speed
    yield f"{name}: reading shards", reading.speed
    for stage, timed in stages.items():
        if timed.seconds:
            yield f"{name}: {stage}", timed.speed


def _beside_torch(
    name: str,
    model: str,
    synthesizer: Synthesizer,
    data: ShardedDataset,
    settings: Mapping[str, float],
    seconds: float,
) -> Iterator[tuple[str, float]]:
    """One record by network and vocoder, ours and PyTorch's in turns."""
    record = data.read(0, synthesizer.looks_at)
    theirs = _twin(model, synthesizer, record, settings)
    times: list[tuple[float, float]] = []
    end = 0.0
    while len(times) < 4 or time.perf_counter() < end:  # the first of which compiles
        pair = []
        for call in (lambda: synthesizer.synthesize_record(record).waveform, theirs):
            start = time.perf_counter()
            call()
            pair.append(time.perf_counter() - start)
        times.append((pair[0], pair[1]))
        end = end or time.perf_counter() + seconds
    spoken, kept = record.n_frames / VIDEO_FPS, times[1:]
    yield f"{name}: one record", spoken / statistics.median(own for own, _ in kept)
    yield f"{name}: one record in torch", spoken / statistics.median(other for _, other in kept)
    yield f"{name}: times as fast as torch", statistics.median(other / own for own, other in kept)


def _exportable(model: str, synthesizer: Synthesizer) -> bool:
    """Whether PyTorch has network and vocoder to load: a workdir is no folder of a model, griffin_lim no network."""
    heard = synthesizer.kind == "waveform" or isinstance(synthesizer.vocoder, NeuralVocoder)
    return heard and not is_workdir(locate(model))


def _twin(model: str, synthesizer: Synthesizer, record: Record, settings: Mapping[str, float]) -> Callable[[], Any]:
    """A call that makes PyTorch's modules speak a record, vocoder included."""
    import torch

    from v2s_jax.interop.torch import load

    network = load(locate(model))
    vocoder = load(locate(synthesizer.settings.vocoder)) if synthesizer.kind == "mel" else None
    look, _ = synthesizer.look(record)
    face = synthesizer.identified(look)
    given: dict[str, Any] = {
        "mouth": torch.from_numpy(np.asarray(face.mouth)[None]),
        "length": torch.tensor([record.n_frames], dtype=torch.int32),
        "noise": torch.randn(1, record.n_frames, 320),
        "face_embedding": None if face.identity is None else torch.from_numpy(np.asarray(face.identity)[None]),
        "expression": None if face.expression is None else torch.from_numpy(np.asarray(face.expression)[None]),
        **{knob: int(value) for knob, value in settings.items()},
    }
    taken = inspect.signature(network.forward).parameters
    arguments = {key: value for key, value in given.items() if key in taken and value is not None}

    def speak() -> np.ndarray:
        with torch.inference_mode():
            made = network(**arguments)
            return (made if vocoder is None else vocoder(made.transpose(1, 2).contiguous())).numpy()

    return speak
