"""`v2s-jax train`: an experiment's config file, overridden on the command line, into a workdir."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from v2s_jax.errors import V2SError

HELP = "train, resume or fine-tune an experiment"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --config, its overrides and --workdir."""
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="experiment file; --config.a.b=VALUE overrides one of its settings",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="checkpoints and logs; an existing run goes on")
    parser.set_defaults(overrides=[])
    plain = parser.parse_known_args

    def parse(args: Sequence[str] | None = None, namespace: Any = None, **kwargs: Any) -> tuple[Any, list[str]]:
        # argparse cannot declare options with open names: --config.a.b is taken out before it looks.
        rest, overrides = take_overrides(list(args or []))
        namespace, unknown = plain(rest, namespace, **kwargs)
        namespace.overrides = overrides
        return namespace, unknown

    parser.parse_known_args = parse  # type: ignore[method-assign,assignment]


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
        path: a Python file with `get_config() -> ConfigDict`; `FILE:ARGUMENT` passes it an argument.
        overrides: `--config.a.b=value`; values are checked against the type of the default.

    Raises:
        V2SError: no such file, it is broken, or an override names an unknown setting or has a bad value.
    """
    if not os.path.isfile(str(path).split(":")[0]):
        raise V2SError(
            f"The config file {path} does not exist: give the path of an experiment file such as those in configs/."
        )
    values = flags.FlagValues()
    argv = ["train", f"--config={path}", *overrides]
    config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values, sys_argv=argv)
    try:
        values(argv)
    except (AttributeError, KeyError) as error:
        raise V2SError(f"Unknown setting in {' '.join(overrides)} for {path}: {_first_line(error)}") from error
    except (flags.Error, ValueError, TypeError) as error:
        raise V2SError(f"Bad setting for {path}: {_first_line(error)}") from error
    return values.config


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else error).strip().splitlines()[0]


def run(args: argparse.Namespace) -> int:
    """Trains; the exit status is that of `loop.train`."""
    from v2s_jax.training.loop import train  # after parsing: jax takes a while to load

    return train(load_config(args.config, args.overrides), args.workdir)
