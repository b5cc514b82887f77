"""Speaks a split of a prepared data set with a model, ready to be scored."""

from pathlib import Path

from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.pairs import make_folder
from v2s_jax.evaluation.scoring import Pair
from v2s_jax.media.audio import write_wav
from v2s_jax.progress import progress
from v2s_jax.synthesis.synthesizer import Synthesizer

_FIELDS = frozenset({"mouth", "face", "speaker_embedding", "audio"})


def synthesize_split(
    model: str, data: Path, split: str, out: Path, limit: int | None = None
) -> tuple[list[Pair], dict[str, str]]:
    """Writes `out/generated/<id>.wav` and `out/recording/<id>.wav` for every example that has a recording.

    Args:
        model: shipped name, exported folder or training workdir.
        data: folder of a prepared data set.
        split: of it.
        out: where the waveforms go.
        limit: at most so many examples, evenly spread over the split.

    Returns:
        The pairs to score, and for examples that could not be spoken why.

    Raises:
        V2SError: no such model, data set or split, or a file cannot be written.
    """
    dataset = ShardedDataset(data, split)
    synthesizer = Synthesizer.from_pretrained(model)
    count = len(dataset) if limit is None else min(limit, len(dataset))
    indices = [i * len(dataset) // count for i in range(count)]
    pairs, failures = [], {}
    for index in progress(indices, count, "clips"):
        record = dataset.read(index, _FIELDS)
        if record.audio is None:
            failures[record.id] = f"{record.id} of {data} has no recording to compare with"
            continue
        try:
            speech = synthesizer.synthesize_record(record)
        except V2SError as error:
            failures[record.id] = str(error)
            continue
        recording, generated = (out / kind / f"{record.id}.wav" for kind in ("recording", "generated"))
        for path, wave in ((recording, record.audio), (generated, speech.waveform)):
            make_folder(path.parent)
            write_wav(path, wave)
        pairs.append(Pair(record.id, recording, generated, record.text))
    if not pairs:
        reason = next(iter(failures.values()), "the split is empty")
        raise V2SError(f"no {split} example of {data} could be evaluated: {reason}")
    return pairs, failures
