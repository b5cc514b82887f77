"""`v2s-jax plan`: what a step of an experiment costs on a machine that need not be there."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from v2s_jax.errors import V2SError
from v2s_jax.training.command import add_config_arguments, load_config

HELP = "compile a step for a TPU slice or GPUs without owning them: memory, time, communication; does it fit?"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the experiment, the machine and how to split the step over it."""
    add_config_arguments(parser)
    parser.add_argument(
        "--topology",
        required=True,
        metavar="CHIP:SHAPE[,...]",
        help="v5e:16x16, v5p:4x4x4, v6e:8x8, 2*v5e:16x16 for two slices, h100:8, cpu:8; several to compare them",
    )
    parser.add_argument("--mesh", metavar="AXES", help="data=-1,fsdp=16,tensor=1; several are tried if it is not given")
    parser.add_argument(
        "--batch-size",
        metavar="N[,N]",
        help="rows of the global batch, or several to try; the config's if not given",
    )
    parser.add_argument(
        "--weak-scaling", action="store_true", help="the batch size is of the first topology, and grows"
    )
    parser.add_argument("--step", choices=("train", "synthesize"), default="train", help="which (%(default)s)")
    parser.add_argument("--out", metavar="FILE", help="write the plans as JSON, too")


def run(args: argparse.Namespace) -> int:
    """Compiles, prints and writes; 1 if the recommended plan of a topology does not fit."""
    from v2s_jax.planning import report, topology
    from v2s_jax.planning.abstract import open_experiment
    from v2s_jax.planning.planner import plan
    from v2s_jax.training.mesh import parse_axes

    names = args.topology.split(",")
    topology.prepare(names)
    axes = parse_axes(args.mesh) if args.mesh else None
    experiment = open_experiment(load_config(args.config, args.overrides))
    sizes = _batch_sizes(args.batch_size, experiment.config.data.batch_size)
    found: list[tuple[Any, bool]] = []
    chosen: list[Any] = []
    for name in names:
        machine = topology.open_topology(name)
        growth = len(machine.devices) / chosen[0].chips if chosen and args.weak_scaling else 1.0
        costs, best = plan(experiment, machine, axes, args.step, [int(size * growth) for size in sizes])
        found += [(cost, cost is best) for cost in costs]
        chosen.append(best)
    if args.weak_scaling:
        print(report.scaling(chosen))
    if args.out:
        entries = [dataclasses.asdict(cost) | _derived(cost) | {"recommended": best} for cost, best in found]
        Path(args.out).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    return 1 if any(cost.excess for cost in chosen) else 0


def _derived(cost: Any) -> dict[str, float | None]:
    return {"excess": cost.excess, "seconds": cost.seconds}


def _batch_sizes(text: str | None, default: int) -> list[int]:
    if text is None:
        return [default]
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise V2SError(f"--batch-size {text}: expected a number, or several with commas between them") from error
    if min(sizes) < 1:
        raise V2SError(f"--batch-size {text}: a batch has one row or more")
    return sizes
