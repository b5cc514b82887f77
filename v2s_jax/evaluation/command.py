"""`v2s-jax evaluate`: the metrics table, its JSON and a report to look at and listen to."""

import argparse
import math
from pathlib import Path

from v2s_jax.arguments import positive
from v2s_jax.errors import V2SError
from v2s_jax.evaluation.embed import picture
from v2s_jax.evaluation.options import add_scoring_options, add_split_options, check_scoring
from v2s_jax.evaluation.pairs import find_pairs
from v2s_jax.evaluation.report import write_report
from v2s_jax.evaluation.scoring import evaluate
from v2s_jax.evaluation.table import text_table
from v2s_jax.media.atomic import make_folder
from v2s_jax.synthesis.options import add_sampler_option

HELP = "score generated speech beside the real recordings: a table, JSON and an HTML report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("generated", nargs="?", type=Path, metavar="GENERATED_DIR", help="folder of generated speech")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="folder of the real recordings (wavs or clips)")
    parser.add_argument("--model", metavar="NAME-OR-PATH", help="instead: speak a data set with this model first")
    parser.add_argument(
        "--vocoder", metavar="NAME-OR-PATH", help="that the model speaks through; without --model: of the real mels"
    )
    room = "with --vocoder alone: even out frames DB below the loudest, which are the room's and in no face"
    parser.add_argument("--room-below", type=positive, default=math.inf, metavar="DB", help=room)
    add_sampler_option(parser)
    parser.add_argument("--data", type=Path, metavar="DIR", help="the prepared data set to speak")
    add_split_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation_out"), metavar="DIR", help="(default: %(default)s)"
    )
    add_scoring_options(parser)
    parser.add_argument(
        "--speaker-encoder", metavar="NAME-OR-PATH", help="judge of speaker similarity (default: the shipped one)"
    )
    parser.add_argument("--ceiling", action="store_true", help="also score Griffin-Lim of the recording's own mel")
    parser.add_argument("--report-clips", type=positive, default=24, metavar="N", help="clips shown (default: 24)")
    parser.add_argument(
        "--figure", type=Path, action="append", default=[], metavar="FILE", help="a picture for the report; repeatable"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the table, writes `evaluation.json` and `report.html`; returns 3 when some clips could not be scored."""
    by_folder, by_model = args.generated is not None, args.model is not None or args.vocoder is not None
    if by_folder == by_model or (args.reference if by_model else args.data) is not None:
        raise V2SError(
            "evaluate needs either GENERATED_DIR --reference DIR, or --model or --vocoder NAME-OR-PATH and --data DIR"
        )
    if (args.reference if by_folder else args.data) is None:
        raise V2SError(f"evaluate needs {'--reference DIR' if by_folder else '--data DIR'} as well")
    if args.sampler and args.model is None:
        raise V2SError("evaluate --sampler needs --model, whose sampler it sets")
    if args.room_below < math.inf and (args.model is not None or by_folder):
        raise V2SError("evaluate --room-below needs --vocoder without --model: it is for the recordings' own mels")
    check_scoring(args, args.speaker_encoder)
    for figure in args.figure:
        picture(figure)
    if by_folder:
        pairs, failures = find_pairs(args.generated, args.reference)
        about = {"generated": str(args.generated), "recordings": str(args.reference)}
        make_folder(args.out)
    else:
        from v2s_jax.evaluation.split import synthesize_split  # the whole model stack, for this mode alone

        make_folder(args.out)  # before the long work
        sampler = dict(args.sampler)
        pairs, failures = synthesize_split(
            args.model, args.data, args.split, args.out, args.limit, args.vocoder, sampler, float(args.room_below)
        )
        spoken_by = {"model": args.model, "vocoder": args.vocoder}
        spoken_by["room below"] = f"{args.room_below} dB" if args.room_below < math.inf else None
        spoken_by |= {f"sampler.{name}": f"{value:g}" for name, value in sampler.items()}
        about = {name: value for name, value in spoken_by.items() if value is not None}
        about |= {"data": str(args.data), "split": args.split}
    evaluation = evaluate(
        pairs,
        names=args.metrics,
        grammar=args.grammar,
        ceiling=args.ceiling,
        speaker_encoder=args.speaker_encoder,
        jobs=args.jobs,
        about=about,
        failures=failures,
    )
    evaluation.write_json(args.out / "evaluation.json")
    write_report(args.out / "report.html", evaluation, pairs, args.report_clips, args.figure)
    print(text_table(evaluation))
    for note in evaluation.notes:
        print(note)
    for name, reason in evaluation.failures.items():
        print(f"not scored: {name} ({reason})")
    print(f"wrote {args.out / 'evaluation.json'} and {args.out / 'report.html'}")
    return 3 if evaluation.failures else 0
