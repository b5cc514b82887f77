"""Python files of the user's: experiments, and lists of variants."""

import os
import runpy
from typing import Any

from v2s_jax.errors import V2SError


def run_file(path: str | os.PathLike, function: str, kind: str, examples: str, *words: str) -> Any:
    """What a function of a Python file returns (config_flags' own loader uses an import call that Python removes).

    Args:
        path: of the file.
        function: its name.
        kind: what such a file is called, such as "config file".
        examples: a folder with some, for an error.
        *words: that the function is called with.

    Raises:
        V2SError: there is no such file or function, or it fails.
    """
    if not os.path.isfile(path):
        raise V2SError(f"The {kind} {path} does not exist: give one such as those in {examples}.")
    try:
        return runpy.run_path(str(path))[function](*words)
    except KeyError as error:
        raise V2SError(f"The {kind} {path} has no function {function} (or it failed on the key {error}).") from error
    except Exception as error:  # whatever a file of the user's raises is a mistake in that file
        raise V2SError(f"The {kind} {path} failed: {type(error).__name__}: {first_line(error)}.") from error


def first_line(error: Exception) -> str:
    """Of what an error says; its kind if it says nothing."""
    lines = str(error.args[0] if error.args else error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
