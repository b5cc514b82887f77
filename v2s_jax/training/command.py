"""`v2s-jax train`: an experiment's config file, overridden on the command line, into a workdir."""

import argparse
import difflib
import os
from collections.abc import Sequence
from typing import Any

from absl import flags
from flax import traverse_util
from ml_collections import ConfigDict, config_flags

from v2s_jax.errors import V2SError
from v2s_jax.python_file import first_line, run_file

HELP = "train, resume or fine-tune an experiment"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --config, its overrides, --mesh, --profile, --workdir and who else takes part."""
    add_config_arguments(parser)
    parser.add_argument("--workdir", required=True, metavar="DIR", help="checkpoints and logs; an existing run goes on")
    parser.add_argument("--mesh", metavar="AXES", help="data=-1,fsdp=16,tensor=1 in place of the config's mesh section")
    parser.add_argument("--profile", metavar="FIRST:LAST", help="write a profile of these steps to DIR/profile")
    add_cluster_arguments(parser)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --config and its overrides, which `load_config` takes."""
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE[:VARIANT]",
        help="experiment file, and which of its variants if it has some; --config.a.b=VALUE overrides a setting",
    )
    parser.set_defaults(overrides=[])
    plain = parser.parse_known_args

    def parse(args: Sequence[str] | None = None, namespace: Any = None, **kwargs: Any) -> tuple[Any, list[str]]:
        # argparse cannot declare options with open names: --config.a.b is taken out before it looks.
        rest, overrides = take_overrides(list(args or []))
        namespace, unknown = plain(rest, namespace, **kwargs)
        namespace.overrides = overrides
        return namespace, unknown

    parser.parse_known_args = parse  # type: ignore[method-assign,assignment]


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `cluster.connect` reads."""
    group = parser.add_argument_group("several processes", "the same command starts every one of them")
    group.add_argument(
        "--distributed",
        choices=("off", "auto"),
        default="off",
        help="auto: find the others through Slurm, GKE or JobSet, Cloud TPU or Open MPI",
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="elsewhere: where process 0 listens")
    group.add_argument("--processes", type=int, metavar="N", help="how many there are")
    group.add_argument("--process", type=int, metavar="I", help="which this is, from 0 on")
    group.add_argument(
        "--peer-timeout",
        type=int,
        default=100,
        metavar="SECONDS",
        help="a process not heard of for so long ends the run (three times as long at the start); %(default)s",
    )


def take_overrides(args: list[str]) -> tuple[list[str], list[str]]:
    """Splits arguments into the others and the `--config.a.b=value` (or `--config.a.b value`) ones."""
    rest: list[str] = []
    overrides: list[str] = []
    waiting = False  # for the value of an override without "="
    for arg in args:
        if waiting and not arg.startswith("--"):
            overrides[-1] += f"={arg}"
            waiting = False
        elif arg.startswith("--config."):
            overrides.append(arg)
            waiting = "=" not in arg
        else:
            rest.append(arg)
            waiting = False
    return rest, overrides


def load_config(path: str | os.PathLike, overrides: Sequence[str] = ()) -> ConfigDict:
    """The locked config of an experiment file with overrides.

    Args:
        path: a Python file with `get_config() -> ConfigDict`; with `:VARIANT` behind it that is called with the word.
        overrides: `--config.a.b=value`; values are checked against the type of the default.

    Raises:
        V2SError: no such file, it is broken, or an override names an unknown setting or has a bad value.
    """
    file, _, variant = str(path).rpartition(":")
    if os.path.isfile(path) or not os.path.isfile(file):
        file, variant = str(path), ""
    config = run_file(file, "get_config", "config file", "configs/", *([variant] if variant else []))
    if not isinstance(config, ConfigDict):
        raise V2SError(f"get_config() in {path} must return an ml_collections ConfigDict, not {type(config).__name__}.")
    config.lock()
    known = [".".join(keys) for keys in traverse_util.flatten_dict(config.to_dict(), keep_empty_nodes=True)]
    for override in overrides:
        name = override.removeprefix("--config.").partition("=")[0]
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."
            raise V2SError(f"{path} has no setting {name}; {hint}")
    values, argv = flags.FlagValues(), ["train", *overrides]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        values(argv)
    except (flags.Error, ValueError, TypeError) as error:
        raise V2SError(f"A setting does not fit {path}: {first_line(error)}.") from error
    return values.config


def run(args: argparse.Namespace) -> int:
    """Trains; the exit status is that of `loop.train`."""
    from v2s_jax.training import cluster  # after parsing: jax takes a while to load

    cluster.connect(args)
    from v2s_jax.training.loop import train

    return train(cluster.together(lambda: _config_of(args)), args.workdir)


def _config_of(args: argparse.Namespace) -> ConfigDict:
    """The experiment with its overrides, --mesh and --profile."""
    from v2s_jax.training.mesh import parse_axes

    config = load_config(args.config, args.overrides)
    if args.mesh:
        config.mesh.update(parse_axes(args.mesh))
    if args.profile:
        config.train.profile = parse_steps(args.profile)
    return config


def parse_steps(text: str) -> tuple[int, int]:
    """The steps of `--profile 100:110`: the profile begins before the one and ends before the other.

    Raises:
        V2SError: it is not of that form.
    """
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise V2SError(f"--profile {text}: write the first step and a later one, such as 100:110")
    return int(first), int(last)
