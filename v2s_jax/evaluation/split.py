"""Speaks a split of a prepared data set, ready to be scored."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.options import spread
from v2s_jax.evaluation.room import without_room
from v2s_jax.evaluation.scoring import Pair
from v2s_jax.features.mel import log_mel
from v2s_jax.media.atomic import make_folder
from v2s_jax.media.audio import write_wav
from v2s_jax.progress import progress
from v2s_jax.synthesis.defaults import default_config
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.synthesis.vocoder import make_vocoder, vocode
from v2s_jax.systems.base import SILENT

FIELDS = SILENT | {"audio", "draft"}  # of a record that models may look at; those that it lacks are None
Speak = Callable[[Record], Float[np.ndarray, "n"]]


def _speaker(
    model: str | None, vocoder: str | None, sampler: Mapping[str, float] | None, room_below: float
) -> tuple[Speak, frozenset[str]]:
    """What makes a record's speech, and the fields that it looks at."""
    if model is not None:
        synthesizer = Synthesizer.from_pretrained(model, vocoder=vocoder, sampler=sampler)
        return lambda record: synthesizer.synthesize_record(record).waveform, FIELDS
    settings = default_config()
    settings.vocoder = vocoder or settings.vocoder
    made = make_vocoder(settings)

    def copied(record: Record) -> Float[np.ndarray, "n"]:
        return vocode(made, without_room(log_mel(np.asarray(record.audio)), room_below))

    return copied, frozenset({"audio"})


def synthesize_split(
    model: str | None,
    data: Path,
    split: str,
    out: Path,
    limit: int | None = None,
    vocoder: str | None = None,
    sampler: Mapping[str, float] | None = None,
    room_below: float = math.inf,
) -> tuple[list[Pair], dict[str, str]]:
    """Speaks a split by a model, see `speak_split`.

    Args:
        model: shipped name, exported folder or training workdir; None speaks the recordings' own mels, which shows
            what the vocoder alone takes away.
        data: folder of a prepared data set.
        split: of it.
        out: where the waveforms go.
        limit: at most so many examples, evenly spread over the split.
        vocoder: `griffin_lim` or a trained one, instead of the one in the model's config.
        sampler: settings of the model's sampler instead of those in its config.
        room_below: dB; of the recordings' own mels what is that far below the loudest frame is evened out.

    Returns:
        The pairs to score, and for examples that could not be spoken why.

    Raises:
        V2SError: no such model, data set or split, or a file cannot be written.
    """
    dataset = ShardedDataset(data, split)
    return speak_split(*_speaker(model, vocoder, sampler, room_below), dataset, out, limit)


def speak_split(
    speak: Speak, fields: frozenset[str], dataset: ShardedDataset, out: Path, limit: int | None = None
) -> tuple[list[Pair], dict[str, str]]:
    """Writes `out/generated/<id>.wav` and `out/recording/<id>.wav` for every example that has a recording.

    Args:
        speak: makes the speech of a record; one that it cannot use is a V2SError.
        fields: of the records that it looks at, `audio` among them.
        dataset: the split.
        out: where the waveforms go.
        limit: at most so many examples, evenly spread over the split.

    Returns:
        The pairs to score, and for examples that could not be spoken why.

    Raises:
        V2SError: not one example could be spoken, or a file cannot be written.
    """
    indices = spread(len(dataset), limit)
    pairs, failures = [], {}
    for index in progress(indices, len(indices), "clips"):
        record = dataset.read(index, fields)
        if record.audio is None:
            failures[record.id] = f"{record.id} of {dataset.path} has no recording to compare with"
            continue
        try:
            speech = speak(record)
        except V2SError as error:
            failures[record.id] = str(error)
            continue
        recording, generated = (out / kind / f"{record.id}.wav" for kind in ("recording", "generated"))
        for path, wave in ((recording, record.audio), (generated, speech)):
            make_folder(path.parent)
            write_wav(path, wave)
        pairs.append(Pair(record.id, recording, generated, record.text))
    if not pairs:
        reason = next(iter(failures.values()), "the split is empty")
        raise V2SError(f"no {dataset.split} example of {dataset.path} could be evaluated: {reason}")
    return pairs, failures
