"""Validation: mean losses over a split, and speech made from its first clips, measured, drawn and played."""

import concurrent.futures
import json
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from v2s_jax.constants import LOG_CEILING, LOG_FLOOR, MEL_PER_FRAME, SAMPLE_RATE, SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.griffin_lim import griffin_lim
from v2s_jax.features.mel import log_mel
from v2s_jax.training import cluster
from v2s_jax.training.paths import Tree
from v2s_jax.training.writers import Writers

# Control points of a perceptually ordered map, dark blue over red to light yellow (RGB), for log-mel pictures.
_COLOURS = np.array([(0, 0, 16), (72, 12, 110), (170, 40, 100), (240, 110, 50), (252, 240, 170)], np.float64)


class Spoken(NamedTuple):
    """One clip's sound: predicted and real, as waveform and log-mel."""

    wave: Float[np.ndarray, "n"]
    mel: Float[np.ndarray, "m 80"]
    true_wave: Float[np.ndarray, "n"]
    true_mel: Float[np.ndarray, "m 80"]


def validate(
    losses: Callable,
    synthesize: Callable,
    params: Tree,
    stats: Tree,
    batches: Iterable[Batch],
    put: Callable[[Batch], Batch],
    kind: Literal["mel", "waveform", "embedding"],
    config: ConfigDict,
) -> tuple[dict[str, float], list[Spoken]]:
    """Losses over all batches (each row counts once) and scores of the first clips' speech.

    Args:
        losses: compiled `(params, stats, key, batch) -> metrics`.
        synthesize: compiled `(params, stats, key, batch) -> log-mel or waveform`.
        params: of the system, averaged ones if there are any.
        stats: batch-norm statistics.
        batches: one pass over the split; rows of length 0 are padding.
        put: from host to devices.
        kind: what `synthesize` returns; nothing is synthesized by a system that makes no speech.
        config: `validation` section.

    Returns:
        Metrics `val/NAME`, with `val/stoi` and `val/estoi` when a clip could be scored, and the clips to show.
    """
    sums: dict[str, float] = {}
    spoken: list[tuple[np.ndarray, np.ndarray]] = []
    rows, key = 0, jax.random.key(0)
    for number, batch in enumerate(batches):
        on_device, batch_key = put(batch), jax.random.fold_in(key, number)
        valid = int((cluster.whole(on_device.length) > 0).sum())
        for name, value in jax.device_get(losses(params, stats, batch_key, on_device)).items():
            sums[name] = sums.get(name, 0.0) + float(value) * valid
        rows += valid
        if kind in ("mel", "waveform") and len(spoken) < config.clips and batch.audio is not None:
            output = np.asarray(jax.device_get(synthesize(params, stats, batch_key, on_device)))
            lengths, audio = cluster.whole(on_device.length), cluster.whole(on_device.audio)
            spoken += _cut(lengths, audio, output, config.clips - len(spoken))
    metrics = {f"val/{name}": total / max(rows, 1) for name, total in sums.items()}
    clips: list[Spoken] = []
    if jax.process_index() == 0:
        clips, scores = listen(spoken, kind, config.griffin_lim_iterations)
        metrics |= {f"val/{name}": value for name, value in scores.items()}
    # The scores decide what is best and when to stop, so all processes take those of the first.
    return json.loads(cluster.exchange(json.dumps(metrics))[0]), clips[: config.shown]


def _cut(lengths: np.ndarray, audio: np.ndarray, output: np.ndarray, most: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(system output, real waveform) of the first rows that are no padding, cut to their lengths."""
    per_frame = MEL_PER_FRAME if output.ndim == 3 else SAMPLES_PER_FRAME
    real = [row for row, n in enumerate(lengths) if n > 0][:most]
    return [(output[row, : per_frame * lengths[row]], audio[row, : SAMPLES_PER_FRAME * lengths[row]]) for row in real]


def listen(outputs: list, kind: str, iterations: int) -> tuple[list[Spoken], dict[str, float]]:
    """Waveforms of (output, real waveform) pairs, in threads, with their mean STOI and ESTOI."""

    def work(pair: tuple[np.ndarray, np.ndarray]) -> tuple[Spoken, tuple[float, float] | None]:
        output, true_wave = (np.asarray(x, np.float32) for x in pair)
        wave = griffin_lim(output, iterations) if kind == "mel" else output
        mel = output if kind == "mel" else log_mel(wave)
        return Spoken(wave, mel, true_wave, log_mel(true_wave)), intelligibility(true_wave, wave)

    with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # pystoi warns of clips with too little speech; `intelligibility` leaves those out.
        warnings.simplefilter("ignore", RuntimeWarning)
        results = list(pool.map(work, outputs))
    scored = [scores for _, scores in results if scores is not None]
    means = np.mean(scored, axis=0) if scored else ()
    return [clip for clip, _ in results], dict(zip(("stoi", "estoi"), map(float, means), strict=False))


def intelligibility(true: Float[np.ndarray, "n"], wave: Float[np.ndarray, "n"]) -> tuple[float, float] | None:
    """STOI and ESTOI at 16 kHz; None where there is less speech than the measure's window (0.4 s)."""
    from pystoi import stoi  # only here: it loads scipy

    scores = tuple(float(stoi(true, wave, SAMPLE_RATE, extended=extended)) for extended in (False, True))
    too_short = scores[0] == 1e-5  # what pystoi returns then
    return None if too_short or not np.isfinite(scores).all() else (scores[0], scores[1])


def picture(clip: Spoken) -> UInt8[np.ndarray, "H W 3"]:
    """Real log-mel above the predicted one, low frequencies at the bottom, each pixel three high."""
    gap = np.full((2, clip.true_mel.shape[0]), LOG_CEILING)
    mels = np.concatenate([clip.true_mel.T[::-1].repeat(3, 0), gap, clip.mel.T[::-1].repeat(3, 0)])
    level = np.clip((mels - LOG_FLOOR) / (LOG_CEILING - LOG_FLOOR), 0, 1)
    stops = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(level, stops, _COLOURS[:, c]) for c in range(3)], -1).astype(np.uint8)


def show(clips: list[Spoken], step: int, writers: Writers) -> None:
    """Pictures and sounds to where a run's are kept."""
    for number, clip in enumerate(clips):
        writers.picture(step, number, picture(clip))
        writers.sound(step, f"predicted/{number}", clip.wave)
        writers.sound(step, f"real/{number}", clip.true_wave)


def numbers(metrics: dict[str, Any]) -> str:
    """Metrics as one line to read."""
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(metrics.items()))
