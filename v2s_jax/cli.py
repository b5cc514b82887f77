"""`v2s-jax`: one program, a command for each job; every command lives in the package that does its work.

A command is a module with `HELP`, `add_arguments(parser)` and `run(args) -> exit status`. What a user got wrong is a
`V2SError`: its sentence goes to stderr and the status is 1. Status 2 is a wrong command line, 3 a run that finished but
had to leave some clips out, 128 + n a run stopped by signal n.
"""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from v2s_jax import __version__
from v2s_jax.errors import V2SError

COMMANDS = {
    "demo": "v2s_jax.synthesis.demo",
    "prepare": "v2s_jax.data.command",
    "prepare tokens": "v2s_jax.tokens.command",
    "prepare drafts": "v2s_jax.tokens.drafts",
    "train": "v2s_jax.training.command",
    "synthesize": "v2s_jax.synthesis.command",
    "serve": "v2s_jax.serving.command",
    "evaluate": "v2s_jax.evaluation.command",
    "voices": "v2s_jax.evaluation.voices",
    "import": "v2s_jax.interop.command",
    "export": "v2s_jax.synthesis.export_command",
    "ablate": "v2s_jax.evaluation.ablate",
    "plan": "v2s_jax.planning.command",
    "bench": "v2s_jax.evaluation.bench",
}
# Lets glibc ask for huge pages: without them large temporaries of XLA:CPU cost more in page faults than in arithmetic
# (an elementwise pass over 75 MB takes about four times as long). It is read when a process starts.
_MALLOC = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the command line; that of the process if None.

    Returns:
        The exit status.
    """
    own_process = argv is None
    argv = list(sys.argv[1:] if argv is None else argv)
    if own_process:
        restart_with_huge_pages()
        # An exception instead of sudden death, so that worker processes and temporary files are cleaned up.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    command = _join_words(argv)
    args = build_parser(command).parse_args(argv)
    try:
        return importlib.import_module(COMMANDS[args.command]).run(args)
    except V2SError as error:
        if args.traceback:
            raise
        print(f"v2s-jax {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"v2s-jax {args.command}: interrupted", file=sys.stderr)
        return 130


def _join_words(argv: list[str]) -> str | None:
    """The command that a command line names; one of two words becomes a single argument, in place."""
    first = next((place for place, arg in enumerate(argv) if not arg.startswith("-")), None)
    if first is None:
        return None
    both = " ".join(argv[first : first + 2])
    if both in COMMANDS:
        argv[first : first + 2] = [both]
    return argv[first]


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser; only the module of `command` is imported for its options, the others just lend their help line."""
    parser = argparse.ArgumentParser(prog="v2s-jax", description="Video-to-speech synthesis in JAX.")
    parser.add_argument("--version", action="version", version=f"v2s-jax {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where in the program an error arose")
    parser.set_defaults(traceback=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, path in COMMANDS.items():
        if command in COMMANDS and name != command:
            commands.add_parser(name)
            continue
        module = importlib.import_module(path)
        own = commands.add_parser(name, help=module.HELP, description=module.HELP)
        own.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        module.add_arguments(own)
    return parser


def restart_with_huge_pages() -> None:
    """Starts the program over with the allocator's setting, once, where the user has not chosen one."""
    name, value = _MALLOC
    if sys.platform == "linux" and name not in os.environ:
        os.environ[name] = value
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
