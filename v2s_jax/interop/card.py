"""What is known of a part, for people: its card and what to print about it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import nnx

import v2s_jax
from v2s_jax.interop import LOADERS
from v2s_jax.interop.records import shown

_ORIGINAL = "The files are named and laid out as the code that published such parts loads them.\n"


def parameters(module: nnx.Module) -> int:
    """How many scalars a module has that can be trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def part_card(name: str, kind: str, count: int, info: Mapping[str, Any], original: bool = False) -> str:
    """A card in Markdown.

    Args:
        name: of the folder.
        kind: of part, such as `avhubert`.
        count: how many parameters it has.
        info: where it comes from: `source`, `kind`, `left`, `licence`, `warnings`.
        original: whether the folder is in the layout of the code that published such parts.
    """
    facts = {
        "part": kind,
        "parameters": f"{count:,}",
        "from": f"`{info.get('source', 'unknown')}`",
        "that being": info.get("kind", kind),
        "left out": left_out(info.get("left", ())) or "nothing",
        "written by": f"v2s_jax {v2s_jax.__version__}",
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    warnings = "".join(f"\n- {warning}" for warning in info.get("warnings", ()))
    return (
        f"# {name}\n\nA part for video-to-speech systems.\n\n"
        f"| | |\n|---|---|\n{rows}\n{warnings}\n\n"
        f"## Licence\n\n{info.get('licence', 'Not known: ask whoever made it.')}\n\n## Use\n\n"
        + (_ORIGINAL if original else _usage(name, kind))
    )


def _usage(name: str, kind: str) -> str:
    loader = LOADERS[kind]
    return (
        f"```python\nfrom v2s_jax.interop import {loader}  # JAX\n\nmodel, info = {loader}({name!r})\n```\n\n"
        f"```python\nfrom v2s_jax.interop import torch  # PyTorch\n\nmodel = torch.load({name!r})\n```\n"
    )


def left_out(names: Sequence[str]) -> str:
    """Names summarised by what they begin with, such as `decoder (141 tensors), label_embs_concat`."""
    heads = Counter(shown(name.split(".")[0]) for name in names)
    alone = set(names)
    return ", ".join(
        head if head in alone else f"{head} ({count} tensor{'s' * (count > 1)})"
        for head, count in sorted(heads.items())
    )
