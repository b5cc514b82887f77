"""`v2s-jax ablate`: variants of models, each spoken and scored on the same clips, into one table."""

import argparse
import collections
import dataclasses
import json
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.comparison import COST, Row, table, write_curves, write_results
from v2s_jax.evaluation.gain import gains
from v2s_jax.evaluation.options import add_scoring_options, add_split_options, check_scoring
from v2s_jax.evaluation.scoring import evaluate
from v2s_jax.evaluation.split import FIELDS, speak_split
from v2s_jax.evaluation.variants import CURVES, RESULTS, TABLE, Variant, load_variants
from v2s_jax.media.atomic import make_folder, replacing
from v2s_jax.media.degrade import degrade
from v2s_jax.synthesis.pretrained import load_pretrained
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.synthesis.vocoder import Vocoder
from v2s_jax.systems.base import System
from v2s_jax.systems.pretrained import change_settings

HELP = "speak and score a data set by variants of models: one table, and curves"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="Python file with get_variants()")
    parser.add_argument("--model", metavar="NAME-OR-PATH", help="of the variants that name none")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the prepared data set to speak")
    add_split_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add_scoring_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluates what earlier runs have not, prints and writes the table; returns 3 when anything could not be."""
    variants = load_variants(args.file, args.model)
    check_scoring(args)
    datasets = {path: ShardedDataset(path or args.data, args.split) for path in ["", *(v.data for v in variants)]}
    ready = collections.deque(prepare(variants))
    make_folder(args.out)
    rows, failures = [], {}
    for number in range(1, len(variants) + 1):
        variant, synthesizer = ready.popleft()  # and what no later variant speaks by can go
        start = time.monotonic()
        count = f"variant {number}/{len(variants)}, {variant.name}"
        try:
            result, old = _evaluate(variant, synthesizer, datasets[variant.data], args)
            rows.append(Row(variant, result))
            took = "done before" if old else f"spoken and scored in {time.monotonic() - start:.0f} s"
        except V2SError as error:  # such as noise without end from too strong a guidance: the others may do better
            rows.append(Row(variant, None))
            failures[variant.name] = took = str(error)
        print(f"{count}: {took}", file=sys.stderr, flush=True)
    if len(failures) == len(rows):
        raise V2SError(
            f"not one of {len(rows)} variants could be evaluated; the first: {failures[rows[0].variant.name]}"
        )
    return _finish(rows, failures, args)


def _finish(rows: list[Row], failures: dict[str, str], args: argparse.Namespace) -> int:
    """Prints and writes the results; returns the exit status."""
    about = {"file": str(args.file), "data": str(args.data), "split": args.split, "limit": str(args.limit or "")}
    text = "\n\n".join(filter(None, (table(rows), gains(rows))))
    print(text)
    with replacing(args.out / TABLE) as file:
        file.write(f"{text}\n".encode())
    write_results(args.out / RESULTS, rows, about, failures)
    written = [TABLE, RESULTS] + ([CURVES] if write_curves(args.out / CURVES, rows) else [])
    for row in rows:
        lost = len(row.result["failures"]) if row.result else 0
        if lost:
            failures[row.variant.name] = f"{lost} clips are missing, see its evaluation.json"
    for name, reason in failures.items():
        print(f"not whole: {name} ({reason})")
    print(f"wrote {', '.join(written)} into {args.out}")
    return 3 if failures else 0


def prepare(variants: list[Variant]) -> list[tuple[Variant, Synthesizer]]:
    """Each variant with what speaks it; those that differ in nothing that is compiled share the compiled functions.

    Raises:
        V2SError: there is no such model, vocoder or setting, or a model's weights do not fit the settings.
    """
    loaded: dict[str, tuple[ConfigDict, System]] = {}
    compiled: dict[tuple[str, str], Synthesizer] = {}
    vocoders: dict[tuple[str, int], Vocoder] = {}
    ready = []
    for variant in variants:
        model, key = variant.model, (variant.model, json.dumps(variant.system, sort_keys=True))
        try:
            if model not in loaded:
                loaded[model] = load_pretrained(model)
            if key not in compiled:
                changed = change_settings(*loaded[model], variant.system, model) if variant.system else loaded[model]
                compiled[key] = Synthesizer(*changed)
            tuned = compiled[key].tuned(variant.sampler, variant.vocoder, variant.contrast)
        except V2SError as error:
            raise V2SError(f"variant {variant.name}: {error}") from error
        named = tuned.settings.vocoder, tuned.settings.griffin_lim_iterations
        tuned.vocoder = vocoders.setdefault(named, tuned.vocoder)  # one of a name compiles once
        ready.append((variant, tuned))
    return ready


@dataclasses.dataclass
class Voice:
    """Speaks the records of a data set as a variant would, and keeps count of the network's work.

    Attributes:
        variant: says how the video is degraded, alike for every variant with the same words, and whose face is shown.
        synthesizer: speaks.
        dataset: of the records.
        spent: seconds of the network's work so far.
        spoken: seconds of speech so far.
    """

    variant: Variant
    synthesizer: Synthesizer
    dataset: ShardedDataset
    spent: float = 0.0
    spoken: float = 0.0

    def __call__(self, record: Record) -> Float[np.ndarray, "n"]:
        """The speech of one record.

        Raises:
            V2SError: the model cannot use it.
        """
        if record.mouth is not None and self.variant.degrade:
            rng = np.random.default_rng(zlib.crc32(record.id.encode()))
            record = dataclasses.replace(record, mouth=degrade(record.mouth, self.variant.degrade, rng))
        if self.variant.face == "other":
            other = self.dataset.read(stranger(self.dataset, record.id), ("face", "face_embedding"))
            record = dataclasses.replace(record, face=other.face, face_embedding=other.face_embedding)
        speech = self.synthesizer.synthesize_record(record)
        self.spent += speech.timings["network"]
        self.spoken += speech.seconds
        return speech.waveform


def stranger(dataset: ShardedDataset, id: str) -> int:
    """The place of the next record of another speaker, from the start again behind the last.

    Raises:
        V2SError: there is none.
    """
    here = dataset.ids.index(id)
    places = [*range(here + 1, len(dataset)), *range(here)]
    found = next((place for place in places if dataset.speakers[place] != dataset.speakers[here]), None)
    if found is None:
        raise V2SError(f"face 'other' needs a split of several speakers; {dataset.split} of {dataset.path} has one")
    return found


def _evaluate(
    variant: Variant, synthesizer: Synthesizer, dataset: ShardedDataset, args: argparse.Namespace
) -> tuple[dict[str, Any], bool]:
    """What the variant's `evaluation.json` holds, and whether an earlier run of the same wrote it."""
    facts = {
        "variant": variant.name,
        "settings": json.dumps(variant.settings(), sort_keys=True),
        "fingerprint": synthesizer.fingerprint(),
        "data": f"{dataset.path} ({dataset.fingerprint})",
        "split": args.split,
        "limit": str(args.limit or ""),
        "metrics": ",".join(args.metrics or ()),
        "grammar": args.grammar or "",
    }
    path = args.out / variant.name / "evaluation.json"
    if (old := _read(path)) is not None and facts.items() <= old["about"].items():
        return old, True
    path.unlink(missing_ok=True)  # the waveforms beside it are about to change
    voice = Voice(variant, synthesizer, dataset)
    pairs, failures = speak_split(voice, FIELDS, dataset, path.parent, args.limit)
    about = facts | {COST: f"{voice.spent / voice.spoken:.5g}"}
    evaluation = evaluate(
        pairs, names=args.metrics, grammar=args.grammar, jobs=args.jobs, about=about, failures=failures
    )
    evaluation.write_json(path)
    return evaluation.to_json(), False


def _read(path: Path) -> dict[str, Any] | None:
    """An earlier result; None if there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("about"), dict) else None
