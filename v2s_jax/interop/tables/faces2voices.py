"""`interop/torch/faces2voices.py` and our `systems/faces2voices.py`."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import Entry, below, linear
from v2s_jax.interop.tables import avhubert, denoisers, expression
from v2s_jax.interop.tables.svts import conformer_block


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of a Faces2Voices; `config` is its `system` section."""
    return [
        *below("encoder", avhubert.entries(config["encoder"])),
        *below("voice", _stages(config)),
        *below("decoder", denoisers.entries(config["decoder"])),
    ]


def _stages(config: Mapping[str, Any]) -> list[Entry]:
    text = linear("text_head", "text_head") if config["ctc_weight"] else []
    return [
        *_conformer("content", config["content"]["blocks"]),
        Entry("content.table", "content.table"),
        *text,
        *linear("timbre.widen", "timbre.widen"),
        *linear("timbre.narrow", "timbre.narrow"),
        *linear("voiced.modulate", "voiced.modulate"),
        *below("expression", expression.entries(config["expression"])),
        *_conformer("prosody", config["prosody"]["blocks"]),
        *linear("contour.linear", "contour.linear"),
    ]


def _conformer(part: str, blocks: int) -> list[Entry]:
    """A projection, a conformer and a head."""
    inner = [entry for index in range(blocks) for entry in conformer_block(f"conformer.blocks.{index}")]
    return below(part, [*linear("project", "project"), *inner, *linear("head", "head")])
